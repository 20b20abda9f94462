"""The documentation as a site: Sphinx with MyST and furo, built by `make docs` into build/docs.

Sphinx is maintained, reads the same Markdown that a forge shows, takes a missing page, heading or file for an error,
and its search runs in the browser, from a folder as well. MkDocs had no release since August 2024, and mkdocs-material
receives corrections alone.

The source folder is the root of the repository, so that a relative link means the same here and on a forge.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]

project = "EdgeModel"
copyright = "the EdgeModel authors, Apache-2.0"
html_title = "EdgeModel"
root_doc = "docs/README"
include_patterns = ["*.md", "docs/**.md", "charts/*/README.md", "examples/*/README.md"]
extensions = ["myst_parser"]
myst_heading_anchors = 4
highlight_language = "none"

html_theme = "furo"
html_extra_path = ["index.html"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

CONTENTS = {
    "Begin": ["getting-started", "concepts"],
    "Tutorials": [
        *("tutorials/first-model", "tutorials/canary-and-rollback", "tutorials/train-and-distill"),
        *("tutorials/own-converter", "tutorials/stateful-model"),
    ],
    "Compression": ["compression/steps", "compression/auto", "compression/sources", "compression/evaluation"],
    "Rollout": [
        *("rollout/waves", "rollout/preflight", "rollout/analysis", "rollout/missing-data", "rollout/controls"),
        "rollout/callers",
    ],
    "Serving": [
        *("serving/protocol", "serving/generation", "serving/text", "serving/tuning"),
        *("serving/feedback-and-drift", "serving/shadow-replay"),
        *("serving/grpc", "serving/local"),
    ],
    "Operations": [
        *("operations/install", "operations/own-registry", "operations/own-prometheus", "operations/pods"),
        *(
            "operations/upgrade",
            "operations/backup",
            "operations/security",
            "operations/air-gapped",
            "operations/sizing",
        ),
        "troubleshooting",
    ],
    "Extending": [
        *("extending/README", "extending/step", "extending/check", "extending/task", "extending/format"),
        *("extending/runtime", "extending/transform", "extending/listener"),
    ],
    "Project": ["releasing"],
}
"""The pages in the order of the site, below docs/. What is not named here follows under Reference and Project."""


def contents(found: set[str]) -> str:
    """Returns the tables of contents of all pages in ``found``, hidden on the page itself."""
    named = {f"docs/{page}" for pages in CONTENTS.values() for page in pages}
    rest = found - named - {root_doc}
    parts = {title: [f"docs/{page}" for page in pages] for title, pages in CONTENTS.items()}
    parts["Reference"] = sorted(page for page in rest if page.startswith("docs/"))
    parts["Project"] = [*parts.pop("Project"), *sorted(rest - set(parts["Reference"]))]
    return "".join(
        "\n```{toctree}\n:hidden:\n:caption: " + title + "\n\n" + "".join(f"/{page}\n" for page in pages) + "```\n"
        for title, pages in parts.items()
    )


def setup(app: Sphinx) -> None:
    """Adds the tables of contents to the first page when it is read: on a forge they would be noise."""

    def add(app: Sphinx, page: str, text: list[str]) -> None:
        if page == root_doc:
            text[0] += contents(set(app.env.found_docs))

    app.connect("source-read", add)
