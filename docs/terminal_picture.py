"""Draws docs/images/rollout.svg from docs/images/rollout.json: ``python docs/terminal_picture.py``.

``examples/record_rollout.py`` records a real rollout and a real rollback. The picture has every line of the recording
but those that repeat the line before with another age, and breaks long lines; it adds nothing.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).resolve().parent / "images"
RECORDING, PICTURE = IMAGES / "rollout.json", IMAGES / "rollout.svg"
COLUMNS = 120
LETTER, LINE, SIZE, MARGIN = 7.83, 18, 13, 16
"""The width of a letter, the heights of a line and of a letter, and the margin, in pixels."""
AGE = re.compile(r"\s+\S+$")
COLOURS = {
    "bad": re.compile(r"\b(RolledBack|Stalled|Fail)\b"),
    "wait": re.compile(r"\b(RollingOut|Soaking|Baking|Preflight|WaitingForNodes)\b"),
    "good": re.compile(r"\b(Serving|Pass)\b"),
}
"""The class of the words of a line; the first that is in it counts."""
TITLE = "A rollout and a rollback in a terminal"
STYLE = """
.panel{fill:#fff;stroke:#d0d7de}
text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:13px;fill:#1f2328;white-space:pre}
.prompt{font-weight:600}.seconds{fill:#59636e}.good{fill:#1a7f37}.bad{fill:#c0242c}.wait{fill:#8a5a00}
@media (prefers-color-scheme:dark){
.panel{fill:#0d1117;stroke:#3d444d}text{fill:#e6edf3}.seconds{fill:#a2acb8}
.good{fill:#4fb36e}.bad{fill:#ff8078}.wait{fill:#d9a441}
}
"""


def draw(recording: dict[str, Any]) -> str:
    """Returns the picture as SVG."""
    rows = list(_rows(recording["lines"]))
    width = round(2 * MARGIN + (COLUMNS + 8) * LETTER)
    height = 2 * MARGIN + LINE * len(rows)
    said = (
        f"EdgeModel {recording['version']}: {recording['lines'][-1]['seconds']:.0f} seconds, as kubectl printed them."
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'role="img" aria-labelledby="title desc">',
            f'<title id="title">{TITLE}</title>',
            f'<desc id="desc">{escape(said)}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect class="panel" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>',
            *(_drawn(number, *row) for number, row in enumerate(rows)),
            "</svg>\n",
        ]
    )


def _rows(lines: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yields (seconds, text) for each line of the picture; the seconds are empty in the rest of a broken line."""
    before = ""
    for line in lines:
        text = line["text"]
        if AGE.sub("", text) == AGE.sub("", before):
            continue
        before = text
        indent = " " * (len(text) - len(text.lstrip()) + 4)
        parts = textwrap.wrap(text, COLUMNS, subsequent_indent=indent, drop_whitespace=True, break_on_hyphens=False)
        if len(text) <= COLUMNS:
            parts = [text]
        for number, part in enumerate(parts):
            yield (f"{line['seconds']:5.0f} s" if not number else "", part)


def _drawn(number: int, seconds: str, text: str) -> str:
    y = MARGIN + LINE * number + SIZE
    told = (name for name, words in COLOURS.items() if words.search(text))
    kind = "prompt" if text.startswith("$ ") else next(told, "")
    of_kind = f' class="{kind}"' if kind else ""
    left = f'<text class="seconds" x="{MARGIN}" y="{y}">{seconds}</text>' if seconds else ""
    return f'{left}<text{of_kind} x="{MARGIN + 8 * LETTER:.0f}" y="{y}" xml:space="preserve">{escape(text)}</text>'


def main() -> int:
    """Draws the picture and returns the exit code: 1 if nothing was recorded."""
    if not RECORDING.exists():
        print(
            f"{RECORDING} is missing: `make demo`, then examples/record_rollout.py, which records it", file=sys.stderr
        )
        return 1
    PICTURE.write_text(draw(json.loads(RECORDING.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
