"""Checks that a folder of Hugging Face is whole: settings, tokenizer, and every weight in the shard that the index
says."""

import re
from pathlib import Path
from typing import Any, Final

from edge_compressor.models.language_files import check_tokenizer, read_json
from edge_compressor.models.safetensors import check_safetensors
from edgemodel import reasons
from edgemodel.errors import Stalled

INDEX_FILE: Final = "model.safetensors.index.json"
WEIGHTS_FILE: Final = "model.safetensors"
_SHARD: Final = re.compile(r".*-\d+-of-\d+\.safetensors")


def weight_files(folder: Path, *, what: str, reason: str = reasons.SOURCE_INVALID) -> tuple[str, ...]:
    """Returns the names of the files of weights in ``folder``, after the check that they are all there and whole.

    Raises Stalled with ``reason``, naming ``what`` it is, and the first file or weight that is missing or foreign.
    """
    check_tokenizer(folder, what=what, reason=reason)
    index = read_json(folder / INDEX_FILE, what, reason)
    if index is None:
        name = _only_file(folder, what, reason)
        check_safetensors(folder / name, what=f"{what}: {name}", reason=reason)
        return (name,)
    shards = _shards(index, what, reason)
    for shard, wanted in shards.items():
        if not (folder / shard).is_file():
            absent = [name for name in shards if not (folder / name).is_file()]
            more = f" (nor are {len(absent) - 1} more)" if len(absent) > 1 else ""
            message = f"{INDEX_FILE} names {shard}, which is not in the folder{more}: give all files of the model"
            raise Stalled(reason, f"{what}: {message}")
        found = check_safetensors(folder / shard, what=f"{what}: {shard}", reason=reason)
        if missing := sorted(wanted - found):
            raise Stalled(reason, f"{what}: {INDEX_FILE} says that {missing[0]!r} is in {shard}, and it is not")
        if foreign := sorted(found - wanted):
            raise Stalled(reason, f"{what}: {shard} holds {foreign[0]!r}, which {INDEX_FILE} does not name there")
    return tuple(shards)


def _only_file(folder: Path, what: str, reason: str) -> str:
    names = sorted(file.name for file in folder.glob("*.safetensors"))
    if len(names) != 1 or _SHARD.fullmatch(names[0]):
        message = f"{INDEX_FILE} is missing, which says what is in {', '.join(names) or WEIGHTS_FILE}"
        raise Stalled(reason, f"{what}: {message}: give the whole folder")
    return names[0]


def _shards(index: dict[str, Any], what: str, reason: str) -> dict[str, set[str]]:
    """Returns the weights that the index names in each shard."""
    named = index.get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(shard, str) for shard in named.values()):
        raise Stalled(reason, f"{what}: {INDEX_FILE} has no weight_map of texts: give the one of the model")
    shards: dict[str, set[str]] = {}
    for weight, shard in named.items():
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise Stalled(reason, f"{what}: {INDEX_FILE} names {shard[:80]!r}, want a .safetensors file beside it")
        shards.setdefault(shard, set()).add(weight)
    return dict(sorted(shards.items()))
