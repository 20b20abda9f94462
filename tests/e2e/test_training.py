"""A source that is trained in the cluster: pruned, tuned, quantized and rolled out, by one manifest."""

from edgemodel import reasons
from examples.lab.site import SiteError
from tests.support.edge_models import Workspace
from tests.support.page_reader import reading
from tests.unit.edge_compressor.training import programs

TRAINING_SECONDS = 420
LONG = {"name": "tune", "type": "FineTune", "fineTune": {"epochs": 24, "batchSize": 32, "learningRate": "0.01"}}


SHORTER = {
    r"epochs: 16": "epochs: 4, batchSize: 32",
    r"ratioPercent: 66": "ratioPercent: 50",
    r'maxAccuracyDropPercent: "2.0"': 'maxAccuracyDropPercent: "5.0"',
}
"""The changes of the recipe of the page with which a small network trains in seconds."""


def test_a_program_is_pruned_distilled_clustered_and_served_as_its_page_says(work: Workspace) -> None:
    with reading(work) as reader:
        folder = reader.terminal.folder / "examples" / "fashion-mnist"
        programs.save(programs.trained(), folder / "program.pt2")
        programs.write(folder / "training.npz", 1024, seed=1)
        reader.pushed = work.publish(
            programs.write(work.folder / "evaluation.npz", 1000, seed=2),
            programs.write(work.folder / "calibration.npz", 64, seed=4, labels=False),
        )
        reader.terminal.stands_for |= SHORTER
        reader.read("docs/tutorials/train-and-distill.md", seconds=TRAINING_SECONDS)
    told = [seen.condition("Reconciling").get("message", "") for seen in work.recorder.seen]
    assert any("step 2 of 3: recover (Distill)" in message for message in told)
    (artifact,) = work.get("smallest")["status"]["artifacts"]
    assert artifact["sizeBytes"] < artifact["sourceSizeBytes"]
    assert float(artifact["accuracy"]) > 0.85
    assert len(work.pods("smallest")) == 2
    job = work.site.get("jobs", "-n", work.namespace)["items"][0]
    assert "/trainer@sha256:" in job["spec"]["template"]["spec"]["containers"][0]["image"]


def test_a_training_whose_pod_is_evicted_resumes_in_the_next_attempt(work: Workspace) -> None:
    uris = work.publish(
        programs.save(programs.trained(epochs=1), work.folder / "source.pt2"),
        programs.write(work.folder / "training.npz", 1024, seed=1),
        programs.write(work.folder / "evaluation.npz", 500, seed=2),
    )
    work.apply(
        source={"uri": uris.pop("source"), "format": "ExportedProgram"},
        datasets={use: {"uri": uri} for use, uri in uris.items()},
        compression={"steps": [LONG]},
    )
    pushed = "pushed a checkpoint after epoch 1,"
    first = work.wait("a checkpoint in the registry", lambda: _trainer_that_says(work, pushed), TRAINING_SECONDS)
    work.site.kubectl("delete", "pod", first, "-n", work.namespace, "--wait=false")
    work.recorder.mark("the pod that trains is gone")
    resumed = "resumes from a checkpoint after epoch"
    second = work.wait("the next attempt to go on", lambda: _trainer_that_says(work, resumed), TRAINING_SECONDS)
    assert second != first
    (artifact,) = work.ready(seconds=TRAINING_SECONDS)["status"]["artifacts"]
    assert float(artifact["accuracy"]) > 0.85


def _trainer_that_says(work: Workspace, text: str) -> str | None:
    """Returns the compressor's pod with ``text`` in its log."""
    selector = "app.kubernetes.io/component=compressor"
    for pod in work.site.get("pods", "-n", work.namespace, "-l", selector)["items"]:
        name = str(pod["metadata"]["name"])
        try:
            if text in work.site.get_raw(f"/api/v1/namespaces/{work.namespace}/pods/{name}/log"):
                return name
        except SiteError:
            continue  # its container has not begun, or it is gone
    return None


def test_a_file_that_is_not_an_exported_program_is_refused_with_its_reason(work: Workspace) -> None:
    uri = work.publish(programs.write(work.folder / "evaluation.npz", 8, seed=2))["evaluation"]
    work.apply(source={"uri": uri, "format": "ExportedProgram"})
    message = work.stalled(reasons.SOURCE_INVALID, seconds=TRAINING_SECONDS)
    assert "is pickled, native code, or nothing that a plain program has" in message
