"""The blocks of the documentation's pages, in the order of the page, and a terminal in which they run.

A block that no test can run has a comment before it that a reader of the page does not see: ``<!-- not run: why -->``.
Indented text after a block is what the page promises that the block prints; … stands for anything.
"""

import re
import signal
import subprocess
import textwrap
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import killpg
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_END: Final = "-- the end of a block --"
_FENCE: Final = re.compile(r"^( *)```(\w*)$")
_NOT_RUN: Final = re.compile(r"^ *<!-- not run: (.+) -->$")
_FILE: Final = re.compile(r"^# (\S+\.(?:yaml|py))\b")


@dataclass(frozen=True)
class Block:
    """A block of a page: its text without the page's indentation, and the line of the page on which it begins."""

    page: str
    line: int
    section: str
    language: str
    text: str
    shows: str
    """The output that the page promises; empty if it shows none."""
    not_run: str
    """The reason why no test can run it; empty if it runs."""

    @property
    def file(self) -> str:
        """Returns the name of the file that the block, or the whole of it, is; its first line names it, or it is
        empty."""
        found = _FILE.match(self.text)
        return found[1] if found else ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    """Returns the fenced blocks of a page, which is named by its path in the tree. Raises ValueError if one has no
    end."""
    lines = (ROOT / page).read_text().splitlines()
    found: list[Block] = []
    section, not_run, at = "", "", 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("#"):
            section = line.lstrip("# ")
        if marked := _NOT_RUN.match(line):
            not_run = marked[1]
        elif fence := _FENCE.match(line):
            indent = fence[1]
            end = next((n for n in range(at + 1, len(lines)) if lines[n] == f"{indent}```"), None)
            if end is None:
                raise ValueError(f"{page}:{at + 1}: the block has no end")
            text = "".join(f"{one.removeprefix(indent)}\n" for one in lines[at + 1 : end])
            shown = _indented(lines[end + 1 :], len(indent) + 4)
            found.append(Block(page, at + 2, section, fence[2], text, shown, not_run))
            at, not_run = end, ""
        elif line.strip():
            not_run = ""
        at += 1
    return found


def _indented(lines: list[str], width: int) -> str:
    shown: list[str] = []
    for line in lines:
        if line.strip() and not line.startswith(" " * width):
            break
        shown.append(line)
    return textwrap.dedent("\n".join(shown)).strip("\n")


def missing(shows: str, output: str) -> str:
    """Returns the first promised line that ``output`` lacks after those before it; empty if it has them all.

    Any amount of blanks equals any other, and … stands for any text of a line.
    """
    rest = [" ".join(line.split()) for line in output.splitlines()]
    for line in filter(None, (" ".join(line.split()) for line in shows.splitlines())):
        wanted = re.compile(".*".join(map(re.escape, line.split("…"))))
        found = next((n for n, one in enumerate(rest) if wanted.fullmatch(one)), None)
        if found is None:
            return line
        rest = rest[found + 1 :]
    return ""


class PageFailure(AssertionError):
    """A page is wrong: its block fails, or prints something else than the page shows."""


@dataclass
class Terminal:
    """A bash in which blocks run one after the other, as in a reader's terminal: a folder or a variable stays.

    ``stands_for`` maps regular expressions of what pages write to what stands for it here.
    """

    folder: Path
    environment: Mapping[str, str]
    stands_for: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> "Terminal":
        self._bash = subprocess.Popen(
            ["bash"], cwd=self.folder, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self._say("set -eEuo pipefail; trap 'echo \"${BASH_SOURCE[0]}:$LINENO ended with $?: $BASH_COMMAND\"' ERR")
        return self

    def __exit__(self, *_: object) -> None:
        killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait()

    @property
    def where(self) -> Path:
        """Returns the folder in which the bash is now."""
        return Path(f"/proc/{self._bash.pid}/cwd").readlink()

    def here(self, text: str) -> str:
        """Returns the text with what stands here for what the pages write."""
        for pattern, replacement in self.stands_for.items():
            text = re.sub(pattern, replacement, text)
        return text

    def run(self, block: Block, seconds: float = 60) -> str:
        """Returns what the block printed. Raises PageFailure with page and line if a command of it fails, if it takes
        longer, or if the output lacks what the page shows."""
        text, shows = self.here(block.text), self.here(block.shows)
        script = self.folder / "blocks" / block.page
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text("\n" * (block.line - 1) + text)  # bash then names the line of the page
        self._say(f". {script} </dev/null; echo; echo '{_END}'")
        output, ended = self._output(seconds)
        if not ended:
            raise PageFailure(f"{block} failed or took over {seconds:g} s:\n{text}\n{output}")
        if lacks := missing(shows, output):
            raise PageFailure(f"{block} should print {lacks!r}, and printed\n{output}")
        return output

    def _say(self, command: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{command}\n")
        self._bash.stdin.flush()

    def _output(self, seconds: float) -> tuple[str, bool]:
        """Returns what was printed, and whether the block came to its end."""
        assert self._bash.stdout is not None
        late = threading.Timer(seconds, killpg, (self._bash.pid, signal.SIGKILL))
        late.start()
        lines: list[str] = []
        try:
            for line in self._bash.stdout:
                if line.rstrip("\n") == _END:
                    return "".join(lines), True
                lines.append(line)
        finally:
            late.cancel()
        return "".join(lines), False
