"""The picture of a terminal is drawn from a recording, and shows nothing else."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from docs import terminal_picture
from docs.terminal_picture import COLUMNS, draw
from edge_cli.manifest import complete_edge_model
from examples import record_rollout
from examples.demo import EXAMPLE
from examples.record_rollout import Recording, manifest

HEAD = "NAME            READY   REASON       STABLE          CANDIDATE       NODES   SIZE     AGE"
MESSAGE = "    memory  default  Fail  check memory: the query gives 7e+07, limit 5e+07 <bytes> " + "and more " * 12


def recording(*texts: str) -> dict[str, Any]:
    return {"version": "1.2.3", "lines": [{"seconds": number, "text": text} for number, text in enumerate(texts)]}


def texts(picture: str) -> list[tuple[str, str]]:
    """Returns (class, text) of each line of a picture, without the seconds."""
    root = ElementTree.fromstring(picture)  # noqa: S314 - it was made here
    found = [(item.get("class", ""), item.text or "") for item in root if item.tag.endswith("}text")]
    return [item for item in found if item[0] != "seconds"]


def test_a_picture_has_every_line_in_the_colour_of_what_it_says() -> None:
    rows = [
        "$ kubectl get",
        HEAD,
        "m  True  Serving  a     2/2  5m",
        "m  False  Soaking  a  b  2/2  5m",
        "",
        MESSAGE.strip(),
    ]
    found = texts(draw(recording(*rows)))
    assert [text for _, text in found][:5] == rows[:5]
    assert [kind for kind, _ in found][:5] == ["prompt", "", "good", "wait", ""]
    assert found[5][0] == "bad"


def test_a_line_that_repeats_the_one_before_with_another_age_is_left_out() -> None:
    rows = [
        HEAD,
        "m  True  Serving  a     2/2  5m",
        "m  True  Serving  a     2/2  5m1s",
        "m  False  Soaking  a  b  2/2  5m2s",
    ]
    assert [text for _, text in texts(draw(recording(*rows)))] == [rows[0], rows[1], rows[3]]


def test_a_long_line_is_broken_and_loses_nothing() -> None:
    found = [text for _, text in texts(draw(recording(MESSAGE)))]
    assert len(found) > 1
    assert all(len(text) <= COLUMNS for text in found)
    assert " ".join(found).split() == MESSAGE.split()


def test_a_picture_says_what_it_is_and_is_readable_in_dark_and_light() -> None:
    picture = draw(recording("$ kubectl get", HEAD))
    assert "EdgeModel 1.2.3: 1 seconds" in picture
    assert "prefers-color-scheme:dark" in picture
    assert 'class="panel"' in picture
    assert "://" not in picture.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_the_picture_of_the_tree_is_that_of_its_recording() -> None:
    assert terminal_picture.RECORDING.exists() == terminal_picture.PICTURE.exists()
    if terminal_picture.RECORDING.exists():
        assert terminal_picture.PICTURE.read_text() == draw(json.loads(terminal_picture.RECORDING.read_text()))


def test_without_a_recording_it_says_what_makes_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal_picture, "RECORDING", tmp_path / "rollout.json")
    assert terminal_picture.main() == 1
    assert "examples/record_rollout.py" in capsys.readouterr().err


def test_what_is_recorded_is_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = Recording()
    for text in ("$ kubectl get", HEAD):
        made.add(text)
    made.write(tmp_path / "rollout.json")
    monkeypatch.setattr(terminal_picture, "RECORDING", tmp_path / "rollout.json")
    monkeypatch.setattr(terminal_picture, "PICTURE", tmp_path / "rollout.svg")
    assert terminal_picture.main() == 0
    assert [text for _, text in texts((tmp_path / "rollout.svg").read_text())] == ["$ kubectl get", HEAD]


@pytest.mark.parametrize("limit", [record_rollout.PASSES, record_rollout.FAILS])
def test_the_recorded_manifests_are_valid(limit: str) -> None:
    model = yaml.safe_load((EXAMPLE / "edgemodel.yaml").read_text())
    spec = complete_edge_model(manifest(model, concurrency=1, limit=limit), "the manifest")["spec"]
    assert spec["analysis"]["checks"][0]["promQL"]["max"] == limit
