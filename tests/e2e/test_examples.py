"""The examples of this tree, as a reader would run them."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import onnxruntime

from examples import lab
from examples.lab.site import ROOT, example_manifest, push_example
from tests.support.edge_models import Workspace

EXAMPLES = ROOT / "examples"
ONE_ROW = ("camera-1", "camera-2")


def apply_example(work: Workspace, manifest: Path) -> None:
    work.site.kubectl("apply", "-n", work.namespace, "-f", "-", stdin=example_manifest(work.site, manifest))


def ask(work: Workspace, node: str, model: str, request: dict[str, object]) -> list[dict[str, object]]:
    """Returns the outputs that an application on ``node`` gets from the model's Service."""
    address = work.site.get("service", model, "-n", work.namespace)["spec"]["clusterIP"]
    argv = ["curl", "-sS", "--max-time", "20", "-d", "@-", f"http://{address}:8080/v2/models/{model}/infer"]
    done = lab.node_exec(node, argv, input=json.dumps(request), capture_output=True, check=True)
    outputs: list[dict[str, object]] = json.loads(done.stdout)["outputs"]
    return outputs


def feedback(work: Workspace, node: str, model: str, labels: dict[str, object]) -> dict[str, int]:
    """Returns the answer of the server on ``node`` to labels for an earlier prediction."""
    address = work.site.get("service", model, "-n", work.namespace)["spec"]["clusterIP"]
    argv = ["curl", "-sS", "--max-time", "20", "-d", "@-", f"http://{address}:8080/v2/models/{model}/feedback"]
    done = lab.node_exec(node, argv, input=json.dumps(labels), capture_output=True, check=True)
    told: dict[str, int] = json.loads(done.stdout)
    return told


def fetched_magika() -> Path:
    path = EXAMPLES / "magika" / "fetch.py"
    spec = importlib.util.spec_from_file_location("fetch_magika", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model: Path = module.fetch()
    return model


def test_fashion_mnist_is_compressed_within_its_budget_and_names_the_classes(work: Workspace) -> None:
    folder = EXAMPLES / "fashion-mnist"
    files = [folder / name for name in ("model.onnx", "calibration.npz", "evaluation.npz")]
    push_example(work.site, "fashion-mnist", *files)
    apply_example(work, folder / "edgemodel.yaml")
    model = work.ready("fashion-mnist", 240)
    (artifact,) = model["status"]["artifacts"]
    assert artifact["sizeBytes"] < artifact["sourceSizeBytes"] / 3
    assert float(artifact["accuracy"]) > float(artifact["sourceAccuracy"]) - 0.01
    assert model["status"]["checks"][0]["verdict"] == "Pass"
    request = {"id": "belt-7", **json.loads((folder / "request.json").read_text())}
    for node in ONE_ROW:
        (output,) = ask(work, node, "fashion-mnist", request)
        rows = np.array(output["data"]).reshape(output["shape"])  # type: ignore[arg-type]
        right = int((rows.argmax(axis=1) == np.arange(10)).sum())
        assert right >= 9
        told = feedback(work, node, "fashion-mnist", {"id": "belt-7", "labels": list(range(10))})
        assert (told["right"], told["wrong"]) == (right, 10 - right)
    verdicts = {check["name"]: check["verdict"] for check in model["status"]["checks"]}
    assert verdicts["golden"] == "Pass"
    assert verdicts.keys() >= {"errors", "latency", "labels"}


def test_magika_as_it_is_answers_bit_for_bit_like_plain_onnxruntime(work: Workspace) -> None:
    model = fetched_magika()
    push_example(work.site, "magika", model, EXAMPLES / "magika" / "evaluation.npz")
    apply_example(work, EXAMPLES / "magika" / "as-is.yaml")
    work.ready("magika", 240)
    with np.load(EXAMPLES / "magika" / "evaluation.npz") as data:
        sample = data["bytes"][:1]
    (expected,) = onnxruntime.InferenceSession(str(model)).run(None, {"bytes": sample})
    given = {"name": "bytes", "datatype": "INT32", "shape": list(sample.shape), "data": sample.flatten().tolist()}
    for node in ONE_ROW:
        (output,) = ask(work, node, "magika", {"inputs": [given]})
        assert np.array(output["data"], dtype=np.float32).tobytes() == np.asarray(expected).tobytes()


def test_magika_with_dynamic_quantization_stays_within_its_budget(work: Workspace) -> None:
    model = fetched_magika()
    push_example(work.site, "magika", model, EXAMPLES / "magika" / "evaluation.npz")
    apply_example(work, EXAMPLES / "magika" / "dynamic.yaml")
    status = work.ready("magika", 240)["status"]
    (artifact,) = status["artifacts"]
    assert artifact["sizeBytes"] < artifact["sourceSizeBytes"]
    assert status["checks"][0]["verdict"] == "Pass"
    assert work.revisions_on_nodes("magika") == dict.fromkeys(ONE_ROW, status["stableRevision"])
