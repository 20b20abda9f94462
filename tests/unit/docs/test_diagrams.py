"""The diagrams of the documentation: readable for everybody, and with the words of the API."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgemodel.reasons import REASONS
from tests.unit.docs.test_pages import ROOT

DIAGRAMS = sorted((ROOT / "docs" / "images").glob("*.svg"))
NOT_REASONS = {"Stalled", "Rejected", "Superseded"}
"""The states that are a condition, or a place in status."""


@pytest.mark.parametrize("path", DIAGRAMS, ids=lambda path: path.name)
def test_a_diagram_says_what_it_shows_and_is_readable_in_dark_and_light(path: Path) -> None:
    text = path.read_text()
    root = ElementTree.fromstring(text)  # noqa: S314 - a file of the tree
    assert {child.tag.rpartition("}")[2] for child in root} >= {"title", "desc"}
    assert "prefers-color-scheme:dark" in text
    assert 'class="panel"' in text, "a ground of its own, for sites whose colours differ from those of the browser"


def test_the_states_of_a_revision_are_reasons() -> None:
    states = re.findall(r'class="t m"[^>]*>([^<]+)<', (ROOT / "docs" / "images" / "states.svg").read_text())
    assert len(states) > 5
    assert set(states) <= REASONS.keys() | NOT_REASONS
