"""Files to and from a user's converter, which runs in its own image between two containers of ours.

Its input is fetched and checked before. Its output is untrusted, like a file from the network, and is read only after
the converter has ended.
"""

import json
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_compressor.datasets import check_npz
from edge_compressor.formats import source_format
from edge_compressor.sources.fetcher import WHAT, Fetched, Fetcher, Use, limit_bytes
from edgemodel import reasons
from edgemodel.compression_request import CompressionRequest, Source
from edgemodel.converter import IN_DIRECTORY, OUT_DIRECTORY, TRAINING_FILE, WEIGHTS_FILE, Converter
from edgemodel.digest import digest_of_file
from edgemodel.errors import Stalled
from edgemodel.json_text import parse_json

FILES: Final[dict[Use, str]] = {"source": WEIGHTS_FILE, "training": TRAINING_FILE}
"""The files that a converter may read, by use."""
FETCHED_FILE: Final = "fetched.json"
"""The file that records the origin of the fetched files, because a tag may name something else by now."""


@dataclass(frozen=True)
class HandoffFolders:
    """The folders of the files. The converter reads ``given``, which it cannot change, and writes into ``made``."""

    given: Path = Path(IN_DIRECTORY)
    made: Path = Path(OUT_DIRECTORY)


def hand_over(request: CompressionRequest, fetcher: Fetcher, folders: HandoffFolders) -> None:
    """Fetches and checks the converter's input. Raises as ``Fetcher.fetch``, and Stalled for an invalid file."""
    fetched = {"source": fetcher.fetch(request.source, "source", folders.given / FILES["source"])}
    given = source_format(request.source.format, WHAT["source"])
    given.check(fetched["source"].path, what=WHAT["source"], reason=reasons.SOURCE_INVALID)
    if "training" in request.datasets:
        to = folders.given / FILES["training"]
        fetched["training"] = fetcher.fetch(request.datasets["training"], "training", to)
        check_npz(to, what=WHAT["training"])
    told = {use: {"digest": file.digest, "uri": file.uri} for use, file in fetched.items()}
    (folders.given / FETCHED_FILE).write_text(json.dumps(told))


@dataclass(frozen=True)
class FromConverter:
    """A fetcher that takes the source from the converter's output, files of its input from their folder, and others by
    ``fetcher``."""

    fetcher: Fetcher
    converter: Converter
    folders: HandoffFolders

    def fetch(self, source: Source, use: Use, to: Path, *, folder: bool = False) -> Fetched:
        """Returns what the converter's container has fetched or made; fetches what only this container needs."""
        if use not in FILES:
            return self.fetcher.fetch(source, use, to, folder=folder)
        given = parse_json((self.folders.given / FETCHED_FILE).read_text())[use]
        if use != "source":
            shutil.copyfile(self.folders.given / FILES[use], to)
            return Fetched(to, given["digest"], given["uri"])
        _take(self.folders.made, Path(self.converter.model).name, to)
        made = {**self.converter.to_json(), "digest": digest_of_file(to), "sizeBytes": to.stat().st_size}
        return Fetched(to, given["digest"], given["uri"], converter=made)


def _take(folder: Path, name: str, to: Path) -> None:
    """Copies the only file in ``folder``. Raises Stalled(ConverterFailed) unless there is exactly that file."""
    wanted = f"it must write one file, {OUT_DIRECTORY}/{name} (the variable EDGEMODEL_MODEL), and nothing besides"
    with os.scandir(folder) as entries:
        found = [entry.name for entry, _ in zip(entries, range(3), strict=False)]
    if not found:
        raise _failed(f"it wrote nothing: {wanted}")
    if found != [name]:
        raise _failed(f"it wrote {', '.join(repr(one[:80]) for one in sorted(found))}: {wanted}")
    status, limit = os.lstat(folder / name), limit_bytes("source")
    if not stat.S_ISREG(status.st_mode):
        raise _failed(f"{name} is a link, a folder or a device: {wanted}")
    if status.st_size > limit:
        raise _failed(f"{name} has {status.st_size} bytes, limit {limit} bytes: write a smaller model")
    try:
        shutil.copyfile(folder / name, to)
    except PermissionError as error:
        raise _failed(f"{name} cannot be read: make it readable to the user that wrote it") from error


def _failed(message: str) -> Stalled:
    return Stalled(reasons.CONVERTER_FAILED, f"the converter: {message}")
