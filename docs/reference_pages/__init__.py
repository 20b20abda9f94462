"""The generated pages of docs/reference. A module of this package that defines PAGE is a page: adding one is one
file."""

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path

from docs.reference_pages.page import Page

FOLDER = Path(__file__).resolve().parents[1] / "reference"


def pages() -> tuple[Page, ...]:
    """Returns the pages, in the order of their modules' names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(module.PAGE for module in modules if hasattr(module, "PAGE"))


def differing() -> Mapping[Path, str | None]:
    """Returns each file of docs/reference that is not up to date with its text; None for one that is to be removed."""
    wanted = {FOLDER / page.file: page.text() for page in pages()}
    wanted |= {FOLDER / "README.md": _index()}
    wanted |= {path: text for page in pages() for path, text in page.beside().items()}
    present = {path: path.read_text() for path in FOLDER.glob("*.md")}
    present |= {path: path.read_text() for path in wanted.keys() - present.keys() if path.exists()}
    both = sorted(wanted.keys() | present.keys())
    return {path: wanted.get(path) for path in both if wanted.get(path) != present.get(path)}


def _index() -> str:
    lines = [f"- [{page.title}]({page.file}): {page.summary}\n" for page in pages()]
    text = "Each page is generated from the code that it describes, and a test compares both."
    return Page("README", "Reference", text, lambda: [f"{text}\n\n", *lines]).text()
