from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgemodel import metrics as contract
from edgemodel import serving
from edgemodel.artifact import ArtifactManifest
from edgemodel.version import VERSION
from inference_server.identity import Identity
from inference_server.models import loading
from inference_server.observability.metrics import Exposition, ModelMetrics
from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import RunningServer, serving_process, until

pytestmark = pytest.mark.slow

IDENTITY = {
    "namespace": "factory",
    "model": "tiny",
    "revision": "tiny-0123456789",
    "variant": "default",
    "node": "node-1",
}


def scrape(server: RunningServer) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Returns the values by (name, labels without identity and process); fails if a series lacks one of these."""
    samples = {}
    processes = set()
    for family in _families(server):
        for sample in family.samples:
            assert IDENTITY.items() <= sample.labels.items(), sample
            processes.add(sample.labels[contract.PROCESS_LABEL])
            own = {key: text for key, text in sample.labels.items() if key != contract.PROCESS_LABEL}
            samples[sample.name, frozenset(own.items() - IDENTITY.items())] = sample.value
    assert len(processes) == 1
    return samples


def _families(server: RunningServer) -> list[Any]:
    answer = server.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return list(text_string_to_metric_families(answer.body.decode()))


def value(samples: Any, name: str, **labels: str) -> float:
    return float(samples[name, frozenset(labels.items())])


def request(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32", "data": [0.5] * 16, **changes}]}


def test_every_inference_request_is_counted_once_by_its_outcome(tmp_path: Path) -> None:
    with serving_process(artifacts.write_mlp(tmp_path)) as server:
        for _ in range(3):
            server.infer(request())
        server.infer(request(shape=[1, 15]))
        server.infer(request(datatype="INT64"))
        server.infer(bytes(60), {"Inference-Header-Content-Length": "0"})
        server.infer(b"no JSON")
        server.infer(request(), model="other")
        server.request("GET", "/v2/models/tiny/infer")
        server.get("/v2/models/tiny")
        samples = scrape(server)
    outcomes = {outcome: value(samples, contract.REQUESTS_TOTAL, outcome=outcome) for outcome in contract.OUTCOMES}
    assert outcomes == {"ok": 3, "refused": 3, "client_error": 3, "server_error": 0}
    assert value(samples, contract.DURATION_SECONDS + "_count") == 3
    assert 0 < value(samples, contract.DURATION_SECONDS + "_sum") < 30
    assert value(samples, contract.QUEUE_SECONDS + "_count") == 7


def test_what_the_model_itself_refuses_is_counted_as_refused(tmp_path: Path) -> None:
    beyond = {"inputs": [{"name": "index", "shape": [1], "datatype": "INT64", "data": [3]}]}
    with serving_process(artifacts.write(tmp_path, artifacts.lookup())) as server:
        assert server.infer(beyond).status == 400
        assert value(scrape(server), contract.REQUESTS_TOTAL, outcome="refused") == 1


WARM = {contract.WARM_UP_LABEL: contract.WARM_UP}


def test_requests_of_the_first_seconds_have_series_of_their_own_beside_those_of_later_ones(tmp_path: Path) -> None:
    directory = artifacts.write_mlp(tmp_path)
    with serving_process(directory, environment={serving.WARM_UP_SECONDS: "3600"}) as server:
        before = scrape(server)
        server.infer(request())
        server.infer(request(shape=[1, 15]))
        samples = scrape(server)
    assert value(before, contract.REQUESTS_TOTAL, outcome="ok", **WARM) == 0, "Prometheus sees the growth from 0 on"
    for outcome in (contract.OK, contract.REFUSED):
        assert value(samples, contract.REQUESTS_TOTAL, outcome=outcome, **WARM) == 1
        assert value(samples, contract.REQUESTS_TOTAL, outcome=outcome) == 0
    assert value(samples, contract.DURATION_SECONDS + "_count", **WARM) == 1
    assert value(samples, contract.DURATION_SECONDS + "_bucket", le="+Inf", **WARM) == 1
    assert value(samples, contract.DURATION_SECONDS + "_sum", **WARM) > 0
    assert value(samples, contract.DURATION_SECONDS + "_count") == 0
    assert value(samples, contract.QUEUE_SECONDS + "_count") == 2
    assert {name for name, labels in samples if contract.WARM_UP_LABEL in dict(labels)} == {
        contract.REQUESTS_TOTAL,
        *(contract.DURATION_SECONDS + part for part in ("_bucket", "_count", "_sum")),
    }


@pytest.mark.parametrize("way", [(), ("--disable-fast-path",)], ids=["fast path", "without fast path"])
def test_the_warm_up_ends_by_itself_and_what_it_counted_stays(tmp_path: Path, way: tuple[str, ...]) -> None:
    sent = 0
    with serving_process(artifacts.write_mlp(tmp_path), *way, environment={serving.WARM_UP_SECONDS: "1"}) as server:

        def is_steady() -> bool:
            nonlocal sent
            sent += server.infer(request()).status == 200
            return value(scrape(server), contract.REQUESTS_TOTAL, outcome="ok") > 0

        until(is_steady, "a request after the warm-up")
        first = scrape(server)
        server.infer(request())
        samples = scrape(server)
    for name, labels in ((contract.REQUESTS_TOTAL, {"outcome": "ok"}), (contract.DURATION_SECONDS + "_count", {})):
        warm, steady = (samples.get((name, frozenset({**labels, **more}.items())), 0) for more in (WARM, {}))
        assert (warm + steady, steady) == (sent + 1, value(first, name, **labels) + 1)


def test_a_model_that_is_loaded_again_warms_up_again(tmp_path: Path) -> None:
    short = {serving.WARM_UP_SECONDS: "1"}
    with serving_process(artifacts.write_mlp(tmp_path), "--model-control", "explicit", environment=short) as server:

        def is_steady() -> bool:
            server.infer(request())
            return value(scrape(server), contract.REQUESTS_TOTAL, outcome="ok") > 0

        until(is_steady, "a request after the warm-up")
        assert server.request("POST", "/v2/repository/models/tiny/load").status == 200
        samples = scrape(server)
        assert value(samples, contract.REQUESTS_TOTAL, outcome="ok") == 0
        until(is_steady, "a request after the second warm-up")


def families(metrics: ModelMetrics) -> dict[tuple[str, str, str | None], float]:
    """Returns the values of REQUESTS_TOTAL and DURATION_SECONDS by (name, outcome or edge, label of the warm-up)."""
    text = Exposition(lambda: [metrics]).scrape().decode()
    return {
        (one.name, one.labels.get("outcome", one.labels.get("le", "")), one.labels.get(contract.WARM_UP_LABEL)): (
            one.value
        )
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.name.startswith((contract.REQUESTS_TOTAL, contract.DURATION_SECONDS))
    }


def test_each_way_of_counting_takes_part_in_the_warm_up(tmp_path: Path) -> None:
    manifest = loading.read_manifest(artifacts.write_mlp(tmp_path))
    assert isinstance(manifest, ArtifactManifest)
    metrics = ModelMetrics(Identity(**IDENTITY), manifest, None)

    def count() -> None:
        metrics.record_request(contract.OK, 0.5, 0.0)
        metrics.record_request(contract.SERVER_ERROR, 0.5)
        metrics.inline.record(0.0, 0.0, 0.0, 0.0, 0.001)

    count()
    metrics.end_warm_up()
    ended = families(metrics)
    count()
    count()
    later = families(metrics)
    for seconds, ok in (("0.25", 1), ("0.63", 2), ("+Inf", 2)):
        name = f"{contract.DURATION_SECONDS}_bucket"
        assert [found[name, seconds, warm] for found in (ended, later) for warm in ("true", None)] == [
            ok,
            0,
            ok,
            2 * ok,
        ]
    total = contract.REQUESTS_TOTAL
    assert [later[total, "ok", warm] for warm in ("true", None)] == [2, 4]
    assert [later[total, "server_error", warm] for warm in ("true", None)] == [1, 2]
    assert later[f"{contract.DURATION_SECONDS}_sum", "", None] == pytest.approx(1.002)
    assert {key: value for key, value in later.items() if key[2]} == {
        key: value for key, value in ended.items() if key[2]
    }


def test_a_warm_up_without_requests_leaves_no_series(tmp_path: Path) -> None:
    with serving_process(artifacts.write_mlp(tmp_path)) as server:
        server.infer(request())
        samples = scrape(server)
    assert not [labels for _, labels in samples if contract.WARM_UP_LABEL in dict(labels)]
    assert value(samples, contract.REQUESTS_TOTAL, outcome="ok") == 1


@pytest.mark.slow
def test_a_restarted_server_is_another_process_to_prometheus(tmp_path: Path) -> None:
    directory = artifacts.write_mlp(tmp_path)
    seen = set()
    for _ in range(2):
        with serving_process(directory) as server:
            (family,) = (f for f in _families(server) if f.name == contract.THREADS)
            seen |= {sample.labels[contract.PROCESS_LABEL] for sample in family.samples}
    assert len(seen) == 2


def test_a_bucket_of_the_durations_ends_at_the_objective(tmp_path: Path) -> None:
    objective = {serving.LATENCY_OBJECTIVE_MILLISECONDS: "12"}
    with serving_process(artifacts.write_mlp(tmp_path), environment=objective) as server:
        server.infer(request())
        samples = scrape(server)
    edges = [float(dict(labels)["le"]) for name, labels in samples if name == contract.DURATION_SECONDS + "_bucket"]
    assert sorted(edges) == [*contract.duration_buckets(0.012), float("inf")]


def test_the_golden_result_and_the_artifact_are_exported(tmp_path: Path) -> None:
    with serving_process(artifacts.write_mlp(tmp_path, items=16, wrong=1, min_percent="90")) as server:
        samples = scrape(server)
    assert value(samples, contract.GOLDEN_ITEMS, result="agree") == 15
    assert value(samples, contract.GOLDEN_ITEMS, result="disagree") == 1
    assert value(samples, contract.GOLDEN_MIN_PERCENT) == 90
    (info,) = (dict(labels) for name, labels in samples if name == contract.MODEL_INFO)
    assert info.keys() == {"artifact_digest", "source_digest", "server_version"}
    assert info["server_version"] == VERSION
    assert info["source_digest"] == "sha256:" + "5" * 64
    assert 10e6 < value(samples, contract.MEMORY_BYTES) < 1e9
    assert value(samples, contract.THREADS) > 1


def test_without_a_golden_set_there_is_no_golden_series(tmp_path: Path) -> None:
    with serving_process(artifacts.write(tmp_path, artifacts.mlp())) as server:
        assert not [name for name, _ in scrape(server) if name == contract.GOLDEN_ITEMS]
