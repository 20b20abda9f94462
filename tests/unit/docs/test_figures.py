"""The figures of the example that several pages repeat are those of one recorded run, in every page."""

import json
import re

import pytest

from tests.unit.docs.test_pages import PAGES, ROOT

RECORDING = json.loads((ROOT / "docs" / "images" / "rollout.json").read_text())
"""The output of a terminal for the example on the lab (``examples/record_rollout.py``)."""
LINES = [" ".join(line["text"].split()) for line in RECORDING["lines"]]


def recorded(pattern: str) -> tuple[str, ...]:
    """Returns the groups of the first line of the recording that matches."""
    return next(found.groups() for line in LINES if (found := re.search(pattern, line)))


SOURCE_BYTES, BYTES, *ACCURACIES, SOURCE_LATENCY, LATENCY = recorded(
    r"^default (\d+) -> (\d+) bytes accuracy ([\d.]+) -> ([\d.]+) ([\d.]+) -> ([\d.]+) ms$"
)
(VERDICT,) = recorded(r"gate Pass (accuracy drops .*)$")
RATIO = int(SOURCE_BYTES) / int(BYTES)
SPEED = float(SOURCE_LATENCY) / float(LATENCY)


def kilobytes(size: str) -> str:
    return f"{int(size) / 1000:.1f}"


def percent(accuracy: str) -> str:
    return f"{100 * float(accuracy):.2f}"


STATED = {
    "docs/concepts.md": [(r"2/2 +(\d+) ", [BYTES])],
    "docs/getting-started.md": [
        (r"size +(\S+) kB -> +(\S+) kB \((\S+)x", [kilobytes(SOURCE_BYTES), kilobytes(BYTES), f"{RATIO:.1f}"]),
        (r"accuracy +(\S+) +-> +(\S+) ", ACCURACIES),
        (r"latency +(\S+) ms -> +(\S+) ms", [f"{float(SOURCE_LATENCY):.3f}", f"{float(LATENCY):.3f}"]),
    ],
    "docs/tutorials/first-model.md": [
        (r"(\S+) kB became (\d+) kB", [kilobytes(SOURCE_BYTES), str(int(BYTES) // 1000)]),
        (r"changed from (\S+) to (\S+)\.$", ACCURACIES),
    ],
    "docs/operations/sizing.md": [(r"of (\S+) kB\nbefore compression", [kilobytes(SOURCE_BYTES)])],
    "examples/fashion-mnist/README.md": [
        (
            r"size, bytes \| (\S+) \| (\S+) \((\S+) times",
            [f"{int(SOURCE_BYTES):,}", f"{int(BYTES):,}", f"{RATIO:.2f}"],
        ),
        (r"accuracy \| (\S+) % \| (\S+) %", [percent(one) for one in ACCURACIES]),
        (
            r"one thread \| (\S+) ms \| (\S+) ms \((\S+) times",
            [f"{float(SOURCE_LATENCY):.3f}", f"{float(LATENCY):.3f}", f"{SPEED:.2f}"],
        ),
    ],
}
"""The sentences with figures of the recording, by page: a pattern and its groups."""
SIZES = {SOURCE_BYTES: r"\b664[.,]?\d*", BYTES: r"\b191[.,]?\d*(?! *…)"}
"""A pattern for what looks like one of the sizes."""


@pytest.mark.parametrize("page", STATED)
def test_a_page_states_the_figures_of_the_recorded_run(page: str) -> None:
    text = (ROOT / page).read_text()
    for pattern, figures in STATED[page]:
        assert re.findall(pattern, text, re.MULTILINE) == [tuple(figures) if len(figures) > 1 else figures[0]], pattern


def test_the_figures_are_of_the_version_that_pages_name() -> None:
    for page in ("docs/getting-started.md", "examples/fashion-mnist/README.md"):
        (version,) = re.findall(
            r"recorded with EdgeModel (\d+\.\d+\.\d+)\b", " ".join((ROOT / page).read_text().split())
        )
        assert version == RECORDING["version"]


def test_a_figure_is_the_same_wherever_it_is_repeated() -> None:
    """The sizes, the words of the gate, and the bytes that a node pulls, which only ``make demo`` prints."""
    for page in PAGES:
        text = " ".join(page.read_text().split())
        for size, looks in SIZES.items():
            forms = {size, f"{int(size):,}", kilobytes(size), str(int(size) // 1000)}
            assert {found.rstrip(".,") for found in re.findall(looks, text)} <= forms, page
        plain = text.replace("−", "-").replace("3,800", "3800")
        assert set(re.findall(r"accuracy drops [^)]+n = 3800\)", plain)) <= {VERDICT}, page
        pulled = re.findall(r"(\S+) kB for (?:a node that has the server|\[the example)", text)
        assert set(pulled) <= {PULLED}, page


PULLED = re.search(r"transfer +(\S+) kB", (ROOT / "docs" / "getting-started.md").read_text())[1]  # type: ignore[index]
