"""Verdicts on real nodes: a real load, real Prometheus, and candidates that are really worse."""

import json
import sys
import threading
from datetime import datetime
from typing import Any

import pytest

from edgemodel import reasons
from examples.lab import serving
from tests.support import tiny_models
from tests.support.edge_models import QUICK, Workspace, publish_mlp
from tests.support.live import (
    ALL,
    CAMERAS,
    ERRORS,
    GOLDEN,
    LABELS,
    LATENCY,
    SOAK,
    check,
    checks,
    clients,
    rolled_back,
    stable,
    under_load,
)

INT8 = {"name": "int8", "type": "QuantizeDynamic"}


@pytest.mark.exclusive
def test_a_slower_artifact_is_rolled_back_for_latency(work: Workspace) -> None:
    """It sends few requests, each of which takes long, and runs alone: nodes on one machine must not slow each other
    down."""
    first = stable(work, analysis=checks(ERRORS, LATENCY))
    with under_load(work, baseline=150, per_second=3):
        work.apply(source={"uri": publish_mlp(work, "slow", slow=1000)}, rollout=SOAK)
        message = rolled_back(work, first, reasons.LATENCY_TOO_HIGH)
    assert "check latency" in message
    assert "limit" in message
    assert check(work, "latency")["verdict"] == "Fail"


def test_an_artifact_that_fails_one_request_in_twenty_is_rolled_back_for_errors(work: Workspace) -> None:
    first = stable(work, analysis=checks(ERRORS, LATENCY))
    with under_load(work, "--odd-one-in", "20"):
        work.apply(source={"uri": publish_mlp(work, "fragile", fails_beyond=5.0)}, rollout=SOAK)
        message = rolled_back(work, first, reasons.ERROR_RATE_TOO_HIGH)
    assert "% of requests failed" in message
    failed = check(work, "errors")
    assert failed["verdict"] == "Fail"
    assert float(failed["observed"]) > float(failed["limit"])
    assert failed["sampleCount"] > 0
    assert failed["measuredAt"]


def test_a_model_with_permuted_classes_is_rolled_back_for_accuracy_through_labels(work: Workspace) -> None:
    """Its golden set agrees: it answers as it did in the compression Job."""
    first = stable(work, analysis=checks(LABELS, GOLDEN))
    data = tiny_models.samples(work.folder / "labels.npz", 500)
    with under_load(work, "--samples", str(data)):
        work.apply(source={"uri": publish_mlp(work, "permuted", permuted=True)}, rollout=SOAK)
        message = rolled_back(work, first, reasons.ACCURACY_TOO_LOW)
    assert "accuracy drops" in message
    assert check(work, "golden")["verdict"] == "Pass"


def test_without_any_traffic_the_golden_set_drives_the_rollout_and_the_status_says_so(work: Workspace) -> None:
    stable(work, analysis=checks(ERRORS, GOLDEN))
    work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout=QUICK)
    second = work.ready()["status"]["stableRevision"]
    assert work.revisions_on_nodes() == dict.fromkeys(CAMERAS, second)
    errors, golden = check(work, "errors"), check(work, "golden")
    assert errors["verdict"] == "Inconclusive"
    assert errors["reason"] == reasons.NO_TRAFFIC
    assert "the golden set (100 % of" in errors["message"]
    assert golden["verdict"] == "Pass"


def test_a_pause_freezes_a_soak_and_what_was_left_of_it_passes_afterwards(work: Workspace) -> None:
    soak = 12
    first = stable(work)
    work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout={**QUICK, "soakSeconds": soak})
    work.reconciling(reasons.SOAKING)
    told = command_line(work, "pause", "m")
    assert "is paused" in told
    work.reconciling(reasons.PAUSED)
    text = command_line(work, "status", "m")
    assert "Reconciling: Paused: wave canary (1 of 2)" in text
    assert f"stable      {first} on 1 node" in text
    (canary,) = (pod for pod in work.pods().values() if pod["metadata"]["labels"]["edgemodel.io/revision"] != first)
    assert work.recorder.pin_moves_within(2 * soak + 1) == []
    assert sorted(work.revisions_on_nodes().values()).count(first) == 1
    work.reconciling(reasons.PAUSED)
    command_line(work, "resume", "m")
    second = work.ready()["status"]["stableRevision"]
    assert second != first
    assert work.revisions_on_nodes() == dict.fromkeys(CAMERAS, second)
    assert work.get()["status"]["observedGeneration"] == 4
    work.recorder.catch_up()
    rollouts = [seen.status["rollout"] for seen in work.recorder.seen if seen.status.get("rollout")]
    said = list(dict.fromkeys((rollout["wave"], rollout["reason"]) for rollout in rollouts if rollout.get("pauses")))
    assert said[:2] == [(0, reasons.PAUSED), (0, reasons.SOAKING)]
    began = next(rollout for rollout in rollouts if rollout["wave"] == 1 and rollout.get("pauses"))
    (pause,) = began["pauses"]
    ready = next(c["lastTransitionTime"] for c in canary["status"]["conditions"] if c["type"] == "Ready")
    served, paused = seconds(ready, began["waveStartedAt"]), seconds(pause["since"], pause["until"])
    assert paused > 2 * soak
    assert served - paused >= soak - 1, "times in status are whole seconds"


def seconds(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


def test_a_bad_candidate_is_rolled_back_while_paused(work: Workspace) -> None:
    first = stable(work, analysis=checks(ERRORS))
    with under_load(work):
        work.apply(source={"uri": publish_mlp(work, "fragile", fails_beyond=5.0)}, rollout=SOAK)
        work.reconciling(reasons.SOAKING)
        command_line(work, "pause", "m")
        work.reconciling(reasons.PAUSED)
        work.recorder.mark("paused; from now on some requests are odd")
        with clients(work, "--odd-one-in", "5"):
            rolled_back(work, first, reasons.ERROR_RATE_TOO_HIGH)
    model = work.get()
    assert model["spec"]["rollout"]["paused"] is True
    work.recorder.catch_up()
    said = list(dict.fromkeys(seen.condition("Ready").get("reason") for seen in work.recorder.seen))
    assert said[-2:] == [reasons.PAUSED, reasons.ROLLED_BACK]


def test_a_candidate_whose_golden_set_disagrees_never_answers_a_client_of_stable(work: Workspace) -> None:
    first = stable(work, analysis=checks(ERRORS))
    with under_load(work, baseline=100) as load:
        work.apply(source={"uri": publish_mlp(work, "random", random_answers=True)}, rollout=SOAK)
        message = rolled_back(work, first, reasons.GOLDEN_MISMATCH)
    assert "golden" in message
    for saw in load.stop().values():
        assert saw["failed"] == 0, saw["failures"]
        assert set(saw["versions"]) == {first}
    work.recorder.catch_up()
    since = [seen.status for seen in work.recorder.seen if seen.status.get("stableRevision") == first]
    rejected = since[-1]["rejectedRevisions"][0]["name"]
    assert rejected in {status.get("candidateRevision") for status in since}
    assert {status["nodes"]["candidate"] for status in since} == {0}


def test_a_users_own_query_passes_one_candidate_and_rejects_the_next(work: Workspace) -> None:
    def memory(revision: str) -> str:
        return f'max(edgemodel_memory_bytes{{namespace="$namespace",model="$model",revision="{revision}"}})'

    grows = f"{memory('$candidate')} / {memory('$stable')}"
    first = stable(work, analysis=checks(query("memory", grows, max="10")))
    work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout=QUICK)
    status = work.ready()["status"]
    second = status["stableRevision"]
    assert second != first
    passed = check(work, "memory")
    assert (passed["verdict"], passed["revision"], passed["limit"]) == ("Pass", second, "10")
    assert 0.1 < float(passed["observed"]) < 10
    work.apply(analysis=checks(query("memory", grows, max="10"), query("bytes", memory("$candidate"), max="1000")))
    work.apply(source={"uri": publish_mlp(work, "third", 9)}, rollout=SOAK)
    message = rolled_back(work, second, reasons.QUERY_OUT_OF_BOUNDS)
    failed = check(work, "bytes")
    assert (failed["verdict"], failed["limit"]) == ("Fail", "1000")
    assert failed["revision"] not in (first, second)
    assert float(failed["observed"]) > 1_000_000
    assert f"wave canary (1 of 2): check bytes: the query gives {failed['observed']}, limit 1000" in message


def test_a_candidate_that_answers_recent_requests_differently_is_rolled_back_by_a_query(
    work: Workspace,
) -> None:
    """Its golden set agrees, and nobody sends labels: the requests of its own node show the fault, and only counts
    leave it."""
    items = 'sum(edgemodel_replay_items{namespace="$namespace",model="$model",revision="$candidate"'
    share = f'{items},result="disagree"}}) / {items}}})'
    first = stable(
        work, analysis=checks(GOLDEN, query("replay", share, max="0.05")), serving={"shadowReplay": {"maxRequests": 64}}
    )
    with under_load(work):
        work.apply(source={"uri": publish_mlp(work, "permuted", permuted=True)}, rollout=SOAK)
        rolled_back(work, first, reasons.QUERY_OUT_OF_BOUNDS)
    # It served, so it had passed its golden set on the node; Prometheus may have reported that after the replay.
    assert check(work, "golden")["verdict"] in ("Pass", "Inconclusive")
    assert check(work, "replay")["observed"] == "1"


def query(name: str, text: str, **bounds: str) -> dict[str, Any]:
    return {"name": name, "type": "PromQL", "promQL": {"query": text, **bounds}}


def test_each_variant_has_its_own_verdict_and_one_failure_rolls_every_node_back(work: Workspace) -> None:
    """The gateway has a variant of its own, and only its clients send what the bad candidate fails on."""
    small = {"name": "small", "nodeSelector": {"edge": "gateway"}, "compression": {"steps": [INT8]}}
    everywhere = {"nodeSelector": {"kubernetes.io/os": "linux"}}
    stable(work, analysis=checks(ERRORS, GOLDEN), placement=everywhere, variants=[small])
    at_once = {**SOAK, "waves": [{"name": "all", "percent": 100}]}
    with (
        under_load(work, per_second=20),
        under_load(work, "--odd-one-in", "5", nodes=("gateway-1",), per_second=20),
    ):
        work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout=at_once)
        second = str(work.ready()["status"]["stableRevision"])
        both = {(name, variant) for name in ("errors", "golden") for variant in ("default", "small")}
        assert verdicts(work, second) == dict.fromkeys(both, "Pass")
        work.apply(source={"uri": publish_mlp(work, "fragile", 7, fails_beyond=5.0)})
        message = rolled_back(work, second, reasons.ERROR_RATE_TOO_HIGH, nodes=ALL)
    assert "wave all (1 of 1): check errors (variant small): " in message
    found = verdicts(work, work.get()["status"]["rejectedRevisions"][0]["name"])
    assert found.keys() == both
    assert [key for key, verdict in found.items() if verdict == "Fail"] == [("errors", "small")]


def verdicts(work: Workspace, revision: str) -> dict[tuple[str, str], str]:
    """Returns the verdicts on the nodes by (check, variant)."""
    judged = (item for item in work.get()["status"]["checks"] if item.get("revision") == revision)
    return {(item["name"], item["variant"]): item["verdict"] for item in judged}


def command_line(work: Workspace, *words: str) -> str:
    """Runs ``kubectl edgemodel`` as a user types it, and returns its output."""
    return work.site.run(sys.executable, "-m", "edge_cli.kubectl_plugin", *words, "-n", work.namespace)


def test_a_git_controller_that_keeps_applying_its_manifests_finds_no_difference_and_disturbs_nothing(
    work: Workspace,
) -> None:
    """It applies server-side every second, through a rollout and a rollback; a dry run before each apply shows any
    drift."""
    done = threading.Event()
    manifest = {"text": ""}
    rounds: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def reconcile() -> None:
        """Compares before it applies, because applying would correct any drift."""
        flags = ["--server-side", "--field-manager=git", "-f", "-"]
        before = ""
        while not done.is_set():
            text = manifest["text"]
            if text and text == before:
                there = work.site.get("edgemodel", "m", "-n", work.namespace)
                wanted = json.loads(work.site.kubectl("apply", *flags, "--dry-run=server", "-o", "json", stdin=text))
                rounds.append((_declared(there), _declared(wanted)))
            if text:
                work.site.kubectl("apply", *flags, stdin=text)
                before = text
            done.wait(1)

    git = threading.Thread(target=reconcile)
    git.start()

    def push(name: str, **options: Any) -> None:
        spec = {
            "source": {"uri": publish_mlp(work, name, **options)},
            "placement": {"nodeSelector": {"edge": "camera"}},
            "rollout": QUICK,
            "analysis": checks(ERRORS, GOLDEN),
        }
        meta = {"name": "m", "namespace": work.namespace}
        body = {"apiVersion": "edgemodel.io/v1alpha1", "kind": "EdgeModel", "metadata": meta, "spec": spec}
        manifest["text"] = json.dumps(body)
        generation = _generation(work)
        work.wait("Git to be applied", lambda: _generation(work) > generation)

    try:
        push("first")
        first = work.ready()["status"]["stableRevision"]
        compared = len(rounds)
        push("second", seed=7)
        second = work.ready()["status"]["stableRevision"]
        push("random", random_answers=True)
        work.stalled(reasons.ROLLED_BACK)
        work.wait("some more rounds", lambda: len(rounds) > compared + 10)
    finally:
        done.set()
        git.join()
    assert first != second
    for there, wanted in rounds:
        assert there == wanted
    model = work.get()
    assert model["metadata"]["generation"] == 3
    assert model["status"]["stableRevision"] == second
    whole = work.site.get("edgemodel", "m", "-n", work.namespace, "--show-managed-fields")
    managers = {entry["manager"] for entry in whole["metadata"]["managedFields"] if "subresource" not in entry}
    assert managers == {"git"}


def _declared(model: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields that Git may own; the status changes between two reads."""
    meta = model["metadata"]
    kept = {key: meta.get(key) for key in ("labels", "annotations", "finalizers", "ownerReferences", "generation")}
    return {"spec": model["spec"], **kept}


def _generation(work: Workspace) -> int:
    items = work.site.get("edgemodels", "-n", work.namespace)["items"]
    return int(items[0]["metadata"]["generation"]) if items else 0


def test_kubectl_describe_alone_explains_a_rollback(work: Workspace) -> None:
    first = stable(work, analysis=checks(ERRORS))
    with under_load(work, "--odd-one-in", "5"):
        work.apply(source={"uri": publish_mlp(work, "fragile", fails_beyond=5.0)}, rollout=SOAK)
        rolled_back(work, first, reasons.ERROR_RATE_TOO_HIGH)
    story = work.site.kubectl("describe", "em", "m", "-n", work.namespace)
    status = work.get()["status"]
    message = status["rejectedRevisions"][0]["message"]
    flat = " ".join(story.split())
    assert " ".join(message.split()) in flat
    for words in ("ErrorRateTooHigh", "Verdict: Fail", f"Stable Revision: {first}", "RolledBack", "Sample Count"):
        assert words in flat
    log = work.site.kubectl("logs", "-n", "edgemodel-system", "deployment/edgemodel-operator", "--tail=400")
    assert message in log
    ready = serving.condition(work.get(), "Ready")
    assert ready is not None
    assert message in ready["message"]
