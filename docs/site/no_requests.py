"""Ends with an error if the built site would request anything from another host.

``python docs/site/no_requests.py FOLDER`` prints each such request.
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADS = {
    *(("script", "src"), ("img", "src"), ("img", "srcset"), ("source", "src"), ("source", "srcset"), ("iframe", "src")),
    *(("video", "src"), ("audio", "src"), ("embed", "src"), ("object", "data"), ("image", "href"), ("use", "href")),
    *(("image", "xlink:href"), ("use", "xlink:href"), ("form", "action")),
}
"""The attributes whose address a browser requests; that of a link is requested by its relation."""

_PASSIVE = {"canonical", "author", "license", "next", "prev", "index", "search", "help"}
_ABSOLUTE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
_IN_STYLE = re.compile(r"""(?:url\(|@import)\s*['"]?\s*((?:https?:)?//[^'")\s]+)""", re.IGNORECASE)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        for name, value in given.items():
            relations = set(given.get("rel", "").split())
            loads = (tag, name) in LOADS or (tag == "link" and name == "href" and not relations <= _PASSIVE)
            if loads and _ABSOLUTE.match(value):
                self.found.append(f"<{tag} {name}={value}>")
        self.found += [f"style of <{tag}>: {url}" for url in _IN_STYLE.findall(given.get("style", ""))]


def requests(name: str, text: str) -> list[str]:
    """Returns what a browser would request from another host for the file ``name`` with the content ``text``."""
    if name.endswith((".html", ".svg")):
        page = _Page()
        page.feed(text)
        styles = re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL)
        return page.found + [url for style in styles for url in _IN_STYLE.findall(style)]
    return _IN_STYLE.findall(text) if name.endswith(".css") else []


def problems(folder: Path) -> Iterator[str]:
    """Yields a line for each request of each file of the site in ``folder``."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".html", ".svg", ".css"}:
            for request in requests(path.name, path.read_text()):
                yield f"{path.relative_to(folder)}: {request}"


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1])))
    print("\n".join(found), file=sys.stderr)
    sys.exit(bool(found))
