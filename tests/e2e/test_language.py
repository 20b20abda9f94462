"""Models that generate text, from a folder to their clients: judged by tokens, and asked as OpenAI's clients ask."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgemodel import reasons
from examples import lab
from examples.lab.site import ROOT, example_manifest, push_example
from tests.support import decoders
from tests.support.edge_models import JOB_SECONDS, ROLLOUT_SECONDS, Workspace
from tests.support.live import CAMERAS, GOLDEN, WARM_UP, checks, clients, rolled_back

EXAMPLE = ROOT / "examples" / "smollm2"
SMOLLM2_SECONDS = 900
"""The time for which a Job may read 3,072 tokens with source and artifact, on a busy machine."""
QUESTION = "the other one"
SERVING = {**WARM_UP, "generate": {"contextTokens": 128, "sequences": 2, "maxNewTokens": 24}}
BUDGET = {"maxPerplexityIncreasePercent": "5", "minAgreementPercent": "90"}


def quantized(budget: dict[str, str], **settings: Any) -> dict[str, Any]:
    step = {"name": "weights", "type": "QuantizeWeights", "quantizeWeights": settings}
    return {"evaluation": {"task": "Language"}, "steps": [step], "budget": budget}


def asked(work: Workspace, node: str, model: str, question: str, *flags: str) -> str:
    """Returns the answer that the package openai gets on ``node``."""
    address = work.site.get("service", model, "-n", work.namespace)["spec"]["clusterIP"]
    argv = [sys.executable, EXAMPLE / "ask.py", f"http://{address}:8080/v1", question, *flags]
    done = lab.node_exec(node, argv, capture_output=True)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def texts(work: Workspace, folder: Path) -> Path:
    """Returns a file with texts that the decoder in ``folder`` finds likely."""
    file = work.folder / "texts.npz"
    np.savez(file, allow_pickle=False, input_ids=decoders.texts(folder, 40, 24))
    return file


def test_a_decoder_is_gated_asked_rolled_back_and_updated_and_no_stream_breaks(work: Workspace) -> None:
    """One candidate of four bits is stopped by the gate; one that answers otherwise on the node, by its golden set."""
    healthy = decoders.write_decoder(work.folder / "healthy")
    restless = decoders.write_decoder(work.folder / "restless", restless=True)
    uris = work.publish(healthy, restless, texts(work, healthy))
    work.apply(
        source={"uri": uris["healthy"]},
        datasets={"evaluation": {"uri": uris["texts"]}},
        compression=quantized(BUDGET),
        serving=SERVING,
        analysis=checks(GOLDEN),
    )
    first = work.ready(seconds=JOB_SECONDS + ROLLOUT_SECONDS)["status"]["stableRevision"]
    assert work.revisions_on_nodes() == dict.fromkeys(CAMERAS, first)
    said = asked(work, CAMERAS[0], "m", QUESTION, "--max-tokens", "12")
    assert len(said.strip()) > 3
    assert asked(work, CAMERAS[1], "m", QUESTION, "--max-tokens", "12", "--whole") == said

    with clients(work, "--prompt", QUESTION, per_second=4) as load:
        work.apply(compression=quantized(BUDGET, bits=4, headBits=4, blockSize=256))
        assert "perplexity" in work.stalled(reasons.BUDGET_EXCEEDED)
        assert work.revisions_on_nodes() == dict.fromkeys(CAMERAS, first)
        work.apply(source={"uri": uris["restless"]}, compression={"steps": []})
        assert "golden" in rolled_back(work, first, reasons.GOLDEN_MISMATCH)
        work.apply(source={"uri": uris["healthy"]}, compression=quantized(BUDGET, blockSize=16))
        second = work.ready(seconds=JOB_SECONDS + ROLLOUT_SECONDS)["status"]["stableRevision"]
        assert second != first
        assert work.revisions_on_nodes() == dict.fromkeys(CAMERAS, second)
    for node, saw in load.stop().items():
        assert saw["failed"] == 0, (node, saw["failures"])
        assert saw["good"] > 0


def test_smollm2_is_quantized_within_its_budget_and_answers_on_each_node(work: Workspace) -> None:
    folder = Path(work.site.run(sys.executable, str(EXAMPLE / "fetch.py"), timeout=SMOLLM2_SECONDS).strip())
    uris = push_example(work.site, "smollm2", folder, EXAMPLE / "evaluation.npz")
    manifest = example_manifest(work.site, EXAMPLE / "edgemodel.yaml")
    unknown = f"{uris['model'].partition('@')[0]}@sha256:{'0' * 64}"
    assert unknown in manifest
    assert uris["evaluation"] in manifest
    work.site.kubectl("apply", "-n", work.namespace, "-f", "-", stdin=manifest.replace(unknown, uris["model"]))
    status = work.ready("smollm2", SMOLLM2_SECONDS)["status"]
    (artifact,) = status["artifacts"]
    assert artifact["sizeBytes"] < artifact["sourceSizeBytes"] / 3
    verdicts = {check["name"]: check["verdict"] for check in status["checks"]}
    assert verdicts["golden"] == "Pass"
    assert verdicts.keys() >= {"errors", "first-token", "tokens"}
    assert work.revisions_on_nodes("smollm2") == dict.fromkeys(CAMERAS, status["stableRevision"])
    clear = ("What is gravity?", "--max-tokens", "10")  # each token leads by far: rounding changes none
    said = asked(work, CAMERAS[0], "smollm2", *clear)
    assert said.startswith("Gravity is a fundamental concept in physics")
    assert asked(work, CAMERAS[1], "smollm2", *clear, "--whole") == said
