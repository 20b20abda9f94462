"""Bad input gets a clear condition; nothing is rolled out, and the stable revision is untouched."""

import json
from pathlib import Path

from edgemodel import reasons
from edgemodel.digest import digest_of_file
from edgemodel.names import pin_key
from edgemodel.spec import parse_spec
from examples import lab
from tests.support import tiny_models
from tests.support.edge_models import Workspace
from tests.support.pins import pins_of_nodes

ONE_WAVE = {
    "waves": [{"name": "all", "percent": 100}],
    "soakSeconds": 0,
    "bakeSeconds": 0,
    "nodeReadyTimeoutSeconds": 20,
}
STEP = {"name": "int8", "type": "QuantizeDynamic"}


def good_model(work: Workspace) -> dict[str, str]:
    model = tiny_models.mlp(work.folder / "good.onnx")
    data = tiny_models.samples(work.folder / "data.npz", 500)
    return work.publish(model, data)


def test_a_corrupt_model_is_refused_and_the_stable_revision_serves_on(work: Workspace) -> None:
    published = good_model(work)
    work.apply(source={"uri": published["good"]})
    stable = work.ready()["status"]["stableRevision"]
    broken = work.folder / "broken.onnx"
    broken.write_bytes((work.folder / "good.onnx").read_bytes()[:200])
    work.apply(source={"uri": f"http://files.lab:8000/{_lab_file(work, broken)}", "digest": digest_of_file(broken)})
    work.stalled(reasons.SOURCE_INVALID)
    model = work.get()
    assert model["status"]["stableRevision"] == stable
    assert set(work.revisions_on_nodes().values()) == {stable}
    assert len(work.pods()) == 2


def test_a_digest_that_does_not_match_is_refused_with_both_digests(work: Workspace) -> None:
    wrong = "sha256:" + "ab" * 32
    uri = f"http://files.lab:8000/{_lab_file(work, tiny_models.mlp(work.folder / 'good.onnx'))}"
    work.apply(source={"uri": uri, "digest": wrong})
    message = work.stalled(reasons.DIGEST_MISMATCH)
    assert wrong in message
    assert message.count("sha256:") == 2


def test_a_source_over_http_with_its_digest_is_served(work: Workspace) -> None:
    file = tiny_models.mlp(work.folder / "good.onnx")
    work.apply(source={"uri": f"http://files.lab:8000/{_lab_file(work, file)}", "digest": digest_of_file(file)})
    work.ready()


def test_an_unreachable_source_is_retried_with_back_off(work: Workspace) -> None:
    work.apply(source={"uri": "oci://registry.lab:5999/nowhere/m@sha256:" + "a" * 64})
    work.reconciling(reasons.SOURCE_UNREACHABLE)

    def second_attempt() -> bool:
        jobs = work.site.get("jobs", "-n", work.namespace)["items"]
        return any(job["metadata"]["name"].endswith("-2") for job in jobs)

    work.wait("a second attempt", second_attempt, 90)
    assert not work.pods()


def test_a_missing_source_is_reported(work: Workspace) -> None:
    work.apply(source={"uri": "oci://registry.lab:5000/nowhere/m@sha256:" + "a" * 64})
    assert "nowhere/m" in work.stalled(reasons.SOURCE_NOT_FOUND)


def test_a_data_set_that_does_not_fit_the_model_is_refused(work: Workspace) -> None:
    model = tiny_models.mlp(work.folder / "good.onnx")
    data = tiny_models.samples(work.folder / "other.npz", 100, features=7)
    published = work.publish(model, data)
    work.apply(
        source={"uri": published["good"]},
        datasets={"evaluation": {"uri": published["other"]}},
        compression={"steps": [STEP], "budget": {"maxAccuracyDropPercent": "5"}},
    )
    message = work.stalled(reasons.DATASET_INVALID)
    assert "7" in message
    assert "16" in message


def test_an_empty_evaluation_set_is_refused(work: Workspace) -> None:
    published = work.publish(
        tiny_models.mlp(work.folder / "good.onnx"), tiny_models.samples(work.folder / "empty.npz", 0)
    )
    work.apply(
        source={"uri": published["good"]},
        datasets={"evaluation": {"uri": published["empty"]}},
        compression={"steps": [STEP], "budget": {"maxAccuracyDropPercent": "5"}},
    )
    work.stalled(reasons.DATASET_EMPTY)


def test_a_missed_budget_names_observed_and_limit(work: Workspace) -> None:
    published = good_model(work)
    work.apply(source={"uri": published["good"]}, compression={"steps": [], "budget": {"maxSizeBytes": 100}})
    message = work.stalled(reasons.BUDGET_EXCEEDED)
    assert "100" in message
    assert str((work.folder / "good.onnx").stat().st_size) in message.replace(",", "")
    assert work.get()["status"]["checks"][0]["verdict"] == "Fail"
    assert not work.pods()


def test_an_evaluation_set_too_small_for_the_margin_says_how_many_samples_it_needs(work: Workspace) -> None:
    published = work.publish(
        tiny_models.mlp(work.folder / "good.onnx"), tiny_models.samples(work.folder / "few.npz", 20)
    )
    work.apply(
        source={"uri": published["good"]},
        datasets={"evaluation": {"uri": published["few"]}},
        compression={"steps": [STEP], "budget": {"maxAccuracyDropPercent": "0.5"}},
    )
    message = work.stalled(reasons.EVALUATION_INCONCLUSIVE)
    assert "n = 20" in message


def test_a_job_that_is_killed_for_memory_names_the_limit(work: Workspace) -> None:
    published = good_model(work)
    compression = {"steps": [], "resources": {"requests": {"memory": "24Mi"}, "limits": {"memory": "24Mi"}}}
    work.apply(source={"uri": published["good"]}, compression=compression)
    assert "24Mi" in work.stalled(reasons.OUT_OF_MEMORY)


def test_a_job_past_its_deadline_names_the_deadline(work: Workspace) -> None:
    model = tiny_models.mlp(work.folder / "wide.onnx", hidden=20_000)
    data = tiny_models.samples(work.folder / "much.npz", 60_000, hidden=20_000)
    published = work.publish(model, data)
    work.apply(
        source={"uri": published["wide"]},
        datasets={"evaluation": {"uri": published["much"]}},
        compression={
            "steps": [STEP],
            "budget": {"maxAccuracyDropPercent": "5"},
            "deadlineSeconds": 10,
            "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"cpu": "100m", "memory": "2Gi"}},
        },
    )
    assert "10 s" in work.stalled(reasons.DEADLINE_EXCEEDED, seconds=180)


def test_a_pod_that_crashes_at_start_is_rolled_back(work: Workspace) -> None:
    published = good_model(work)
    work.apply(source={"uri": published["good"]}, rollout=ONE_WAVE)
    stable = work.ready()["status"]["stableRevision"]
    work.apply(serving={"resources": {"requests": {"memory": "12Mi"}, "limits": {"memory": "12Mi"}}})
    message = work.stalled(reasons.ROLLED_BACK)
    assert "camera-" in message
    assert "raise spec.serving.resources.limits.memory" in message
    assert set(work.revisions_on_nodes().values()) == {stable}


def test_a_golden_mismatch_keeps_the_candidate_from_serving_anyone(work: Workspace) -> None:
    published = work.publish(
        tiny_models.mlp(work.folder / "random.onnx", random_answers=True),
        tiny_models.samples(work.folder / "data.npz", 200),
    )
    work.apply(source={"uri": published["random"]}, datasets={"evaluation": {"uri": published["data"]}})
    message = work.stalled(reasons.ROLLED_BACK)
    assert "golden" in message.lower()
    assert "%" in message
    status = work.get()["status"]
    assert status["rejectedRevisions"][0]["reason"] == reasons.GOLDEN_MISMATCH
    assert status["nodes"]["candidate"] == 0


def test_a_revision_whose_pods_the_namespace_forbids_waits_for_a_person_and_quotes_who_refused(work: Workspace) -> None:
    published = good_model(work)
    work.apply(source={"uri": published["good"]}, serving={"hostPort": 18081, "strategy": "Recreate"}, rollout=ONE_WAVE)
    message = work.stalled(reasons.POD_REFUSED)
    assert 'forbidden: violates PodSecurity "restricted:latest": hostPort' in message
    assert "combined from similar events" not in message


def test_an_image_that_cannot_be_pulled_is_rolled_back_after_the_node_ready_timeout(work: Workspace) -> None:
    published = good_model(work)
    work.apply(source={"uri": published["good"]}, rollout=ONE_WAVE)
    stable = work.ready()["status"]["stableRevision"]
    _forget_artifact(work, stable)
    work.apply(serving={"resources": {"limits": {"memory": "300Mi"}}})
    message = work.stalled(reasons.ROLLED_BACK)
    assert "not ready after 20 s" in message
    assert work.get()["status"]["rejectedRevisions"][0]["reason"] == reasons.IMAGE_PULL_FAILED
    assert set(work.revisions_on_nodes().values()) == {stable}


def test_a_node_selector_that_matches_no_node_is_reported(work: Workspace) -> None:
    published = good_model(work)
    work.apply(source={"uri": published["good"]}, placement={"nodeSelector": {"edge": "nowhere"}})
    assert "edge=nowhere" in work.stalled(reasons.NO_MATCHING_NODES)


def test_a_32_bit_node_is_named_as_unsupported(work: Workspace) -> None:
    name = f"board-{work.namespace[-5:]}"
    labels = {"edge": name, "kubernetes.io/arch": "arm"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    work.site.kubectl("apply", "-f", "-", stdin=json.dumps(node))
    try:
        published = good_model(work)
        work.apply(source={"uri": published["good"]}, placement={"nodeSelector": {"edge": name}})
        message = work.stalled(reasons.UNSUPPORTED_ARCHITECTURE)
        assert "arm" in message
        assert "amd64" in message
    finally:
        work.site.kubectl("delete", "node", name)


def test_the_younger_of_two_models_on_one_host_port_waits_for_the_older(work: Workspace) -> None:
    # Kubernetes' baseline and restricted profiles forbid host ports.
    work.site.kubectl(
        "label", "namespace", work.namespace, "pod-security.kubernetes.io/enforce=privileged", "--overwrite"
    )
    published = good_model(work)
    port = {"hostPort": 18080, "strategy": "Recreate"}
    work.apply("older", source={"uri": published["good"]}, serving=port)
    work.ready("older")
    work.apply("younger", source={"uri": published["good"]}, serving=port)
    message = work.stalled(reasons.HOST_PORT_CONFLICT, "younger")
    assert f"{work.namespace}/older" in message
    work.site.kubectl("delete", "edgemodel", "older", "-n", work.namespace)
    work.ready("younger")


def test_a_foreign_service_is_left_alone(work: Workspace) -> None:
    work.site.kubectl("create", "service", "clusterip", "m", "--tcp=80", "-n", work.namespace)
    work.apply(source={"uri": good_model(work)["good"]})
    assert f"{work.namespace}/m" in work.stalled(reasons.SERVICE_NAME_CONFLICT)
    selector = work.site.get("service", "m", "-n", work.namespace)["spec"]["selector"]
    assert selector == {"app": "m"}
    work.site.kubectl("delete", "service", "m", "-n", work.namespace)
    work.ready()


def test_deleting_a_model_in_the_middle_of_a_rollout_leaves_nothing(work: Workspace) -> None:
    published = good_model(work)
    slow = {**ONE_WAVE, "waves": [{"name": "one", "nodes": 1}, {"name": "all", "percent": 100}], "soakSeconds": 600}
    work.apply(source={"uri": published["good"]}, rollout=slow)
    work.reconciling(reasons.SOAKING)
    before = pins_of_nodes(work.site)
    work.site.kubectl("delete", "edgemodel", "m", "-n", work.namespace, timeout=30)

    def nothing_left() -> bool:
        kinds = "edgemodelrevisions,jobs,daemonsets,services,pods,networkpolicies"
        return not work.site.get(kinds, "-n", work.namespace)["items"]

    work.wait("everything of the model to be gone", nothing_left, 90)
    mine = _pins_of(work, "m", before)
    work.wait("its pins to be gone", lambda: not _pins_of(work, "m", pins_of_nodes(work.site)), 60)
    assert mine


def _pins_of(work: Workspace, name: str, pins: dict[str, set[str]]) -> set[str]:
    """Returns the pins of no other model: those on nodes that no existing EdgeModel knows."""
    revision = f"{name}-{parse_spec(work.applied[name]).revision_hash}"
    return {pin for each in pins.values() for pin in each} & {pin_key(work.namespace, name, revision, "default")}


def _lab_file(work: Workspace, file: Path) -> str:
    """Puts a file onto the lab's web server and returns its path there."""
    target = lab.FILES / f"{work.namespace}-{file.name}"
    target.write_bytes(file.read_bytes())
    return target.name


def _forget_artifact(work: Workspace, revision: str) -> None:
    """Makes the next revision find artifacts in its twin that the registry no longer has."""
    found = work.site.get("edgemodelrevision", revision, "-n", work.namespace)
    gone = f"{work.namespace}/m@sha256:{'d' * 64}"
    body = {
        "apiVersion": found["apiVersion"],
        "kind": found["kind"],
        "metadata": {
            "name": "m-0000000000",
            "namespace": work.namespace,
            "labels": found["metadata"]["labels"],
            "ownerReferences": found["metadata"]["ownerReferences"],
        },
        "spec": {**found["spec"], "variants": [{**found["spec"]["variants"][0], "image": gone}]},
    }
    work.site.kubectl("create", "-f", "-", stdin=json.dumps(body))
