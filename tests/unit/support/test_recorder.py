"""The recorder of end-to-end tests, with generated watches and answers, including a watch that has failed."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgemodel.names import pin_key
from examples.lab.site import Site, SiteError
from tests.support.recorder import Recorder

PIN = pin_key("n", "m", "m-1", "default")
KUBECTL = """#!/bin/sh
cd "$(dirname "$0")"
cat "$2.watched"
exec sleep 60
"""


class Scripted(Site):
    def get(self, *arguments: str) -> Any:
        return json.loads((Path(self.tools) / f"{arguments[0]}.now").read_text())


def model(wave: int) -> dict[str, Any]:
    meta = {"name": "m", "generation": 1}
    status = {"observedGeneration": 1, "candidateRevision": "m-1", "rollout": {"wave": wave}}
    return {"kind": "EdgeModel", "metadata": meta, "spec": {}, "status": status}


def node(*pins: str) -> dict[str, Any]:
    return {"kind": "Node", "metadata": {"name": "camera-1", "labels": dict.fromkeys(pins, "true")}}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    return Scripted("", str(tmp_path), "", "", plain_http=True, is_lab=False)


def write(site: Site, kind: str, watched: list[dict[str, Any]], now: dict[str, Any]) -> None:
    folder = Path(site.tools)
    (folder / f"{kind}.watched").write_text("".join(f"{json.dumps(item, indent=4)}\n" for item in watched))
    (folder / f"{kind}.now").write_text(json.dumps({"items": [now]}))


def test_a_watch_that_has_seen_everything_has_caught_up_and_the_timeline_has_the_pins(site: Site) -> None:
    write(site, "edgemodels", [model(0), model(1)], model(1))
    write(site, "nodes", [node(), node(PIN), node()], node())
    with Recorder(site, "n") as recorder:
        recorder.catch_up()
    assert [seen.status["rollout"]["wave"] for seen in recorder.seen] == [0, 1]
    assert [move.is_set for move in recorder.pin_moves()] == [True, False]
    assert "camera-1: pin of m-1 set\n" in recorder.timeline()
    assert "camera-1: pin of m-1 taken away" in recorder.timeline()


@pytest.mark.slow
@pytest.mark.parametrize("watched", [[], [model(0)]], ids=["nothing", "a status of before"])
def test_a_watch_that_missed_the_last_status_is_reported(site: Site, watched: list[dict[str, Any]]) -> None:
    write(site, "edgemodels", watched, model(1))
    write(site, "nodes", [node()], node())
    with Recorder(site, "n") as recorder, pytest.raises(SiteError, match="EdgeModel m"):
        recorder.catch_up(0)


@pytest.mark.slow
def test_a_watch_that_missed_the_present_pins_is_reported(site: Site) -> None:
    write(site, "edgemodels", [model(1)], model(1))
    write(site, "nodes", [node()], node(PIN))
    with Recorder(site, "n") as recorder, pytest.raises(SiteError, match="pins of node camera-1"):
        recorder.catch_up(1)
