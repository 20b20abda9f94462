"""Contents that are recognised and not read: each is refused by name, with what to do instead."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_compressor.formats.content import starts_with
from edge_compressor.formats.source_format import Check, Recognises
from edge_compressor.models.hugging_face import INDEX_FILE, weight_files


@dataclass(frozen=True)
class Unread:
    """A kind of content that no format reads."""

    what: str
    recognises: Recognises
    cure: str
    check: Check | None = None
    """A check that says first what is wrong in it, if anything is; None: there is none."""


def _is_gguf(path: Path) -> bool:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return any(file.is_file() and starts_with(file, b"GGUF") for file in files)


def _is_pickle(path: Path) -> bool:
    return path.is_file() and starts_with(path, b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def _is_hugging_face(path: Path) -> bool:
    return (
        path.is_dir()
        and (path / "config.json").is_file()
        and any((*path.glob("*.safetensors"), *path.glob(INDEX_FILE)))
    )


def _check_hugging_face(path: Path, *, what: str, reason: str) -> None:
    weight_files(path, what=what, reason=reason)


_EXPORT: Final = (
    "export it to ONNX first (optimum-cli export onnx, or the model builder of onnxruntime-genai), and give the folder "
    "that this makes"
)
UNREAD: Final = (
    Unread(
        "a GGUF", _is_gguf, f"the weights of llama.cpp are not read: take the model that it was made from, {_EXPORT}"
    ),
    Unread("a folder of Hugging Face with weights as safetensors", _is_hugging_face, _EXPORT, _check_hugging_face),
    Unread(
        "a pickle", _is_pickle, "it can run any code when it is loaded: export the model with torch.export or to ONNX"
    ),
)
"""The kinds, in the order in which they are tried."""
