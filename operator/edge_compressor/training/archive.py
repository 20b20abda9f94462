"""Checks that a ``.pt2`` file may be loaded. Nothing in it is unpickled or executed before it has passed.

``torch.export.load`` falls back to unpickling, by which a crafted archive runs any command. So files whose archive
lists members that would be unpickled, or native code, are refused.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgemodel.error_words import in_words
from edgemodel.json_text import parse_json

if TYPE_CHECKING:  # `edgemodel push` checks files, and need not have torch
    from torch.export import ExportedProgram

MAX_UNPACKED_BYTES: Final = 4 * 2**30
MAX_MEMBERS: Final = 100_000
MAX_JSON_BYTES: Final = 64 * 2**20
_ENCRYPTED: Final = 0x1
"""The flag of a zip member that has a password."""

_PLAIN: Final = re.compile(
    r"(\.data/(version|serialization_id)|archive_format|archive_version|version|byteorder|\.format_version"
    r"|models/[\w.-]+\.json|extra/[\w./-]*"
    r"|data/(weights|constants)/([\w.-]+_config\.json|weight_\d+|tensor_\d+)"
    r"|data/sample_inputs/[\w.-]+\.pt)"
)
_SAFE_OPERATORS: Final = ("aten", "_operator", "operator", "math", "torch.sym_", "prims", "higher_order")
_UNREADABLE: Final = (*(zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, UnicodeDecodeError),)
"""The errors that zipfile raises for an archive that it cannot read."""


class Unsafe(Exception):
    """The file may not be loaded; the text says why."""


def check(path: Path) -> None:
    """Raises Unsafe, which says why, for a file that may not be loaded."""
    with path.open("rb") as file:
        head = file.read(4)
    if head[:1] == b"\x80":
        raise Unsafe("it is a pickle, which can run any code when it is loaded: export the model with torch.export")
    if head != b"PK\x03\x04":
        raise Unsafe("it is not an ExportedProgram (a .pt2 file, as torch.export.save writes it)")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive)
    except _UNREADABLE as error:
        raise Unsafe(f"it is not a readable archive: {in_words(error)}") from error


def check_operators(program: ExportedProgram) -> None:
    """Checks that the program has torch's own operators only: others would need a library of unknown code. Raises
    Unsafe."""
    for module in program.graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            if node.op == "call_function" and not _is_safe(node.target):
                raise Unsafe(f"operator {node.target} is none of torch's own")


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise Unsafe(f"{len(members)} members, limit {MAX_MEMBERS}")
    if (total := sum(member.file_size for member in members)) > MAX_UNPACKED_BYTES:
        raise Unsafe(f"{total} bytes unpacked, limit {MAX_UNPACKED_BYTES} bytes")
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise Unsafe("the archive has a member twice")
    if any(name.partition("/")[2] == "data.pkl" for name in names):
        raise Unsafe(
            "it is a whole module or a state_dict (torch.save), which is pickled and can run any code when it is "
            "loaded: export the model with torch.export.export and torch.export.save"
        )
    if locked := [member.filename for member in members if member.flag_bits & _ENCRYPTED]:
        raise Unsafe(f"{locked[0]!r} has a password: store it without")
    for member in members:
        top, slash, name = member.filename.partition("/")
        plain = name if slash else top
        if not _PLAIN.fullmatch(plain):
            raise Unsafe(f"{member.filename!r} is pickled, native code, or nothing that a plain program has")
        if plain.endswith(".json"):
            _check_json(archive, member)


def _check_json(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    if member.file_size > MAX_JSON_BYTES:
        raise Unsafe(f"{member.filename}: {member.file_size} bytes, limit {MAX_JSON_BYTES} bytes")
    try:
        value = parse_json(archive.read(member))
    except (ValueError, RecursionError) as error:
        raise Unsafe(f"{member.filename} is not JSON: {in_words(error)}") from error
    if "_config" not in member.filename:
        return
    entries = value.get("config", {}) if isinstance(value, dict) else None
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise Unsafe(f"{member.filename} is not a valid list of weights: export the model again")
    for name, entry in entries.items():
        if entry.get("use_pickle"):
            raise Unsafe(f"the weight {name!r} is pickled; export the model with plain tensors")


def _is_safe(target: Any) -> bool:
    module = getattr(target, "__module__", "") or ""
    text = f"{target}"
    return text.startswith(_SAFE_OPERATORS) or module in ("_operator", "math", "torch")
