"""The files beside a language model: settings and a tokenizer, which have to be those of the model."""

from pathlib import Path
from typing import Any, Final

from edgemodel import reasons
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled
from edgemodel.json_text import parse_json
from edgemodel.names import TOKENIZER_FILE
from edgemodel.user_files import UnreadableFile, read_bytes

CONFIG_FILE: Final = "config.json"
MAX_BYTES: Final = 128 << 20
"""The largest size of such a file: a vocabulary of a quarter of a million tokens has 33 MB."""
MIN_NAMED: Final = 0.75
"""The smallest share of the rows of an embedding that has a token's name; some rows are padding."""


def check_tokenizer(folder: Path, *, what: str, reason: str = reasons.SOURCE_INVALID) -> None:
    """Checks that the vocabulary in ``folder`` is as large as the model's, if the folder tells both.

    Raises Stalled with ``reason``, naming ``what`` it is.
    """
    config, tokenizer = (read_json(folder / name, what, reason) for name in (CONFIG_FILE, TOKENIZER_FILE))
    rows = (config or {}).get("vocab_size")
    if tokenizer is None or type(rows) is not int:
        return
    largest = _largest_id(tokenizer)
    if largest is None:
        raise Stalled(reason, f"{what}: {TOKENIZER_FILE} has no vocabulary: save it with the tokenizers library")
    if largest >= rows or largest + 1 < MIN_NAMED * rows:
        message = (
            f"{TOKENIZER_FILE} names tokens up to {largest}, and the model ({CONFIG_FILE}) has {rows} rows for them"
        )
        raise Stalled(reason, f"{what}: {message}: it is the tokenizer of another model, give its own")


def read_json(file: Path, what: str, reason: str) -> dict[str, Any] | None:
    """Returns the JSON object in the file; None if there is no such file.

    Raises Stalled with ``reason``, naming ``what`` it is, for anything else.
    """
    if not file.exists():
        return None
    try:
        value = parse_json(read_bytes(file, MAX_BYTES))
    except UnreadableFile as error:
        raise Stalled(reason, f"{what}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise Stalled(reason, f"{what}: {file.name} is not JSON: {in_words(error)}") from error
    if not isinstance(value, dict):
        raise Stalled(reason, f"{what}: {file.name} is not a JSON object")
    return value


def _largest_id(tokenizer: dict[str, Any]) -> int | None:
    """Returns the largest number of a token; None without a vocabulary that can be read."""
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    added = tokenizer.get("added_tokens") or []
    numbers = [one.get("id") for one in added if isinstance(one, dict)] if isinstance(added, list) else []
    if isinstance(vocabulary, dict):
        numbers += vocabulary.values()
    elif isinstance(vocabulary, list):  # of Unigram, where the place is the number
        numbers.append(len(vocabulary) - 1)
    found = [number for number in numbers if type(number) is int]
    return max(found, default=None) if vocabulary else None
