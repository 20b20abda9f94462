"""The command ``kubectl edgemodel``: its output, and its calls of kubectl."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_cli.status import describe
from edgemodel.generation import GeneratorFacts
from edgemodel.version import VERSION
from tests.support import simulation
from tests.support.simulation import Simulation, built_once, model_spec

pytestmark = pytest.mark.slow

FAKE = """#!/bin/sh
echo "$@" >> "$SAID"
case "$1" in
  get) cat "$ANSWER" ;;
  *) [ -z "$REFUSES" ] || { echo "Error from server (Forbidden): no" >&2; exit 1; } ;;
esac
"""


def model(world: Simulation) -> dict[str, Any]:
    meta = {"namespace": "vision", "name": "m", "generation": world.generation}
    return {"metadata": meta, "spec": world.spec, "status": world.status}


@built_once
def on_trial() -> Simulation:
    world = Simulation.with_nodes(3, spec=model_spec(analysis={"checks": [{"name": "errors", "type": "ErrorRate"}]}))
    world.run(1200)
    world.new_source("b")
    world.run(40)
    return world


def test_status_shows_how_many_nodes_stay_on_stable() -> None:
    world = Simulation.with_nodes(4)
    world.run(400)
    for controls, told in ((2, "2 nodes stay"), (1, "1 node stays")):
        world.change(rollout={**world.spec["rollout"], "controlNodes": controls})
        world.new_source("bc"[controls - 1])
        world.run(40)
        assert f", {told} on stable until the bake is through" in describe(model(world))
        world.run(300)
    assert "stable until" not in describe(model(world))


def test_status_shows_what_runs_where_and_how_it_is_judged() -> None:
    world = on_trial()
    text = describe(model(world))
    assert text.startswith("vision/m\n  Reconciling: ")
    assert f"stable      {world.status['stableRevision']} on 2 nodes" in text
    assert f"candidate   {world.target()} on 1 node, wave canary (1 of 2), since " in text
    assert "400 -> 100 bytes  accuracy 0.9150 -> 0.9100  2.0 -> 1.0 ms" in text
    assert "errors  default  Inconclusive  0 % of requests failed" in text


def test_status_shows_what_the_cache_of_a_generator_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = GeneratorFacts(context_tokens=8192, cache_bytes_per_token=46_080)
    report = simulation.artifact_report
    monkeypatch.setattr(simulation, "artifact_report", lambda variant: replace(report(variant), generator=facts))
    world = Simulation.with_nodes(1)
    world.run(400)
    assert "2.0 -> 1.0 ms  up to 8192 tokens, 46080 bytes of cache each" in describe(model(world))


def test_wide_status_shows_the_evidence_behind_each_check() -> None:
    world = on_trial()
    world.requests_per_second = 20
    world.run(30)
    lines = describe(model(world), wide=True).splitlines()
    rows = [line.split() for line in lines[lines.index("  evidence") + 1 :]]
    assert [row[:4] for row in rows[:3]] == [
        ["errors", "default", "failed", name] for name in ("Worse", "AboveLimit", "BelowLimit")
    ]
    assert "for 2x" in lines[lines.index("  evidence") + 1]
    told = next(line for line in lines if "finds " in line)
    assert "more requests decide" in told
    assert f"  written by  operator {VERSION}" in lines
    assert "evidence" not in describe(model(world))
    assert "written by" not in describe(model(world))


def test_status_shows_why_a_revision_was_rejected() -> None:
    world = on_trial()
    world.errors[world.target()] = 0.5
    world.requests_per_second = 20
    world.run(30)
    text = describe(model(world))
    assert "Stalled: RolledBack: " in text
    assert f"    {world.target()}: ErrorRateTooHigh: wave canary" in text


def test_status_shows_the_nodes_preflight_results_before_the_first_wave() -> None:
    world = Simulation.with_nodes(1, spec=model_spec(preflight={"nodeSelector": {"edge": "camera"}}))
    world.add_node("gateway", "arm64")
    world.cut("gateway")
    world.run(30)
    assert "default/amd64  camera-1  asked" in describe(model(world))
    world.run(30)
    text = describe(model(world))
    assert "default/amd64  camera-1  Pass        golden set agrees on 100 %" in text
    assert "default/arm64  no node   Unverified  of its nodes with edge=camera (1) none is online" in text


def test_a_model_that_was_never_reconciled_is_shown_as_such() -> None:
    meta = {"namespace": "vision", "name": "m", "generation": 1}
    assert "not reconciled yet" in describe({"metadata": meta, "status": {"observedGeneration": -1}})


def test_a_status_of_an_older_spec_is_marked_as_such() -> None:
    world = on_trial()
    world.generation += 1
    assert "of an older spec" in describe(model(world))


def places(value: Any, *way: str | int) -> Iterator[tuple[str | int, ...]]:
    """Yields the way to each member of ``value``, and to each of theirs."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*way, key)
        yield from places(item, *way, key)


def parent_of(value: Any, way: tuple[str | int, ...]) -> Any:
    for key in way[:-1]:
        value = value[key]
    return value


def test_a_status_of_another_version_is_shown_without_what_it_lacks() -> None:
    whole = model(on_trial())
    revision, fields = whole["status"]["candidateRevision"], list(places(whole["status"]))
    assert ("checks", 0, "limit") in fields
    for way in fields:
        other = copy.deepcopy(whole)
        del parent_of(other["status"], way)[way[-1]]
        text = describe(other)
        assert revision in text, way
        assert "is the operator running?" not in text or way in [("conditions",), ("conditions", 0)]


def test_a_status_with_a_value_of_another_type_is_shown_and_names_the_field() -> None:
    whole = model(on_trial())
    for way in places(whole["status"]):
        if way[0] in ("schemaVersion", "operatorVersion") or parent_of(whole["status"], way)[way[-1]] is None:
            continue
        other = copy.deepcopy(whole)
        parent_of(other["status"], way)[way[-1]] = 1.5
        text = describe(other)
        name = "status" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in way)
        assert f"    {name} is 1.5, want " in text, text
        assert whole["status"]["candidateRevision"] in text, way


def test_fields_that_this_version_does_not_know_are_left_out() -> None:
    whole = model(on_trial())
    newer = copy.deepcopy(whole)
    for way in [(), *places(whole["status"])]:
        member = newer["status"]
        for key in way:
            member = member[key]
        if isinstance(member, dict):
            member["later"] = {"unknown": [1]}
    assert describe(newer) == describe(whole)


def test_a_required_field_that_is_missing_is_named_and_the_rest_of_its_entry_shown() -> None:
    whole = copy.deepcopy(model(on_trial()))
    del whole["status"]["nodes"]["notReady"]
    del whole["status"]["checks"][0]["limit"]
    del whole["status"]["conditions"][0]["lastTransitionTime"]
    text = describe(whole)
    assert "Reconciling: Soaking" in text
    assert "nodes       3 selected" in text
    assert "errors  default  Inconclusive" in text
    assert text.endswith(
        "  unreadable; use the plug-in of the operator's version\n"
        "    status.checks[0] lacks limit\n"
        "    status.nodes lacks notReady\n"
        "    status.conditions[0] lacks lastTransitionTime"
    )


def test_a_check_without_a_verdict_is_left_out_and_named() -> None:
    whole = copy.deepcopy(model(on_trial()))
    whole["status"]["checks"][0]["verdict"] = "Skipped"
    text = describe(whole)
    assert "errors  default" not in text
    assert "status.checks[0].verdict is 'Skipped', want 'Pass' or 'Fail' or 'Inconclusive'" in text


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Returns the variables of the command, with a fake kubectl that records its arguments."""
    program = tmp_path / "kubectl"
    program.write_text(FAKE)
    program.chmod(0o755)
    (tmp_path / "answer.json").write_text(json.dumps(model(on_trial())))
    own = {"SAID": str(tmp_path / "said"), "ANSWER": str(tmp_path / "answer.json"), "REFUSES": ""}
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", **own}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_cli.kubectl_plugin", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def asked(environment: dict[str, str]) -> str:
    return Path(environment["SAID"]).read_text()


@pytest.mark.parametrize(
    ("command", "patch"),
    [
        ("pause", '{"spec": {"rollout": {"paused": true}}}'),
        ("resume", '{"spec": {"rollout": {"paused": false}}}'),
        ("retry", '{"spec": {"rollout": {"retryToken": "retry-20'),
    ],
)
def test_each_control_verb_is_one_patch_of_the_spec(environment: dict[str, str], command: str, patch: str) -> None:
    done = run(environment, command, "m", "-n", "vision", "--context", "edge")
    assert done.returncode == 0
    assert "change it there, too" in done.stdout
    said = asked(environment)
    assert said.startswith(f"patch edgemodel m --type=merge -p {patch}")
    assert said.endswith("--namespace vision --context edge\n")


def test_status_is_read_through_kubectl(environment: dict[str, str]) -> None:
    for options in ((), ("--wide",)):
        done = run(environment, "status", "m", *options)
        assert done.returncode == 0
        assert done.stdout.startswith("vision/m\n")
        assert ("\n  evidence\n" in done.stdout) == bool(options)
    assert asked(environment) == 2 * "get edgemodel m -o json\n"


def test_a_refusal_that_is_not_known_is_printed_in_its_own_words(environment: dict[str, str]) -> None:
    done = run({**environment, "REFUSES": "yes"}, "pause", "m")
    assert done.returncode == 1
    assert done.stderr == "edgemodel: kubectl patch failed: Error from server (Forbidden): no\n"


def test_a_missing_kubectl_is_reported(environment: dict[str, str], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run({**environment, "PATH": str(empty)}, "status", "m")
    assert done.returncode == 1
    assert "kubectl is not on PATH" in done.stderr


def test_a_wrong_command_line_shows_the_commands(environment: dict[str, str]) -> None:
    done = run(environment, "stop", "m")
    assert done.returncode == 2
    assert "resume" in done.stderr
