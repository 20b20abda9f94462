"""Contents that are recognised and not read: each is refused by name, with what to do instead."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_compressor.formats.content import starts_with
from edge_compressor.formats.source_format import Recognises
from edge_compressor.models.hugging_face import INDEX_FILE
from edge_compressor.models.language_files import CONFIG_FILE


@dataclass(frozen=True)
class Unread:
    """A kind of content that no format reads."""

    what: str
    recognises: Recognises
    cure: str


def _is_gguf(path: Path) -> bool:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return any(file.is_file() and starts_with(file, b"GGUF") for file in files)


def _is_pickle(path: Path) -> bool:
    return path.is_file() and starts_with(path, b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def _is_pickled_folder(path: Path) -> bool:
    if not (path / CONFIG_FILE).is_file() or any((*path.glob("*.safetensors"), *path.glob(INDEX_FILE))):
        return False
    pickles = (*path.glob("pytorch_model*.bin*"), *path.glob("*.pth"), *path.glob("*.pt"))
    return any(pickles) and not any(path.rglob("*.onnx"))


UNREAD: Final = (
    Unread(
        "a GGUF",
        _is_gguf,
        "the weights of llama.cpp are not read: give the model that it was made from, as a folder of Hugging Face "
        "(config.json, tokenizer.json, safetensors) or of its export to ONNX",
    ),
    Unread(
        "a folder of Hugging Face whose weights are pickles (.bin, .pth)",
        _is_pickled_folder,
        "they can run any code when they are loaded: save the model with safetensors (save_pretrained does so), and "
        "leave the pickles out",
    ),
    Unread(
        "a pickle", _is_pickle, "it can run any code when it is loaded: export the model with torch.export or to ONNX"
    ),
)
"""The kinds, in the order in which they are tried."""
