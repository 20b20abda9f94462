"""Answers of Prometheus, and of whatever else listens at its address: a measurement ends with samples or a message."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from edge_operator.decide import decide
from edge_operator.decide.analysis import plan_measuring
from edge_operator.decide.measurement import MeasurementPlan, Samples
from edge_operator.decide.measurement.series import Counter, Gauge, Histogram
from edge_operator.decide.observation import Observation
from edge_operator.prometheus import Prometheus, PrometheusError, PrometheusSettings, WaveMeasurement
from edge_operator.prometheus import client as module
from edgemodel.status import status_to_json
from tests.support.bad_http import BadServer, answer, bad_answers, bad_server, says, slow_answers
from tests.support.bad_input import damaged, mutated
from tests.support.bad_input_runs import Tries, share
from tests.support.simulation import Simulation
from tests.unit.edge_operator.test_rollout_properties import VALIDATOR

READ: Final = 0
TOLD: Final = 3
LABELS: Final = {"namespace": "vision", "model": "m", "process": "a", "outcome": "ok", "le": "+Inf", "code": "200"}
NUMBERS: Final = (
    *("NaN", "Inf", "-Inf", "+Inf", "-1", "0.5", "1e308", "1.7e308", "9007199254740993", "1e400", "-0", "0x10", ""),
    *("ten", "1_000", "\u0663", "1 ", "1e-320", None, 5, 2.5, True, [], {}, "9" * 5000),
)
DATES: Final = (
    *("Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359"),
    *(
        "0",
        "\xb2",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Mon, 01 Jan 2026 00:00:00 -0000",
        "Mon, 99 Foo 2026 25:61:61",
        "\xe4",
    ),
)


def vector(*numbers: Any, **labels: Any) -> dict[str, Any]:
    items = [
        {"metric": {**LABELS, "node": f"node-{place}", **labels}, "value": [1.5, number]}
        for place, number in enumerate(numbers)
    ]
    return {"status": "success", "data": {"resultType": "vector", "result": items}}


def odd_vectors() -> Iterator[tuple[str, bytes]]:
    """Yields vectors of odd numbers, labels and shapes."""
    good = vector("1", "20", "300")
    for number in NUMBERS:
        yield f"value {str(number)[:20]!r}", json.dumps(vector(number, number, number)).encode()
    for label in ("node", "le", "outcome"):
        for word in (None, 5, "", [], {}, "x" * 5000, "\u0000", "ä", r"\ud800"):
            yield f"label {label} {str(word)[:20]!r}", json.dumps(vector("1", "2", **{label: word})).encode()
    yield "a lone surrogate", json.dumps(vector("1", node="\ud800")).encode()
    yield "the same series twice", json.dumps(vector("1", "2", node="node-0")).encode()
    yield "10,000 series", json.dumps(vector(*["1"] * 10_000)).encode()
    yield "not JSON's NaN", b'{"status": "success", "data": {"resultType": "scalar", "result": [0, NaN]}}'
    for kind in ("matrix", "string", "scalar", None, 5):
        for result in ([], None, [1, "x"], [1, None], "x", [[]], [1, "2", 3]):
            data = {"resultType": kind, "result": result}
            yield f"{kind} {result!r}", json.dumps({"status": "success", "data": data}).encode()
    for about, value in mutated(good, 150, "vectors"):
        yield about, json.dumps(value).encode()


@pytest.fixture(scope="module")
def on_trial() -> Observation:
    """Returns what the operator sees while a candidate serves its first wave."""
    world = Simulation.with_nodes(3)
    world.run(60)
    world.new_source("b")
    for _ in range(200):
        world.run(5)
        if plan_measuring(seen := world.observe()) is not None and seen.samples is not None:
            return seen
    raise AssertionError("no candidate came on trial")


@pytest.fixture
def server() -> Iterator[BadServer]:
    with bad_server() as made:
        yield made


class Analyst:
    """Measures once, and makes the pass that reads the samples."""

    def __init__(self, observation: Observation, url: str, credentials: Path | None = None) -> None:
        self.observation = observation
        self.settings = PrometheusSettings(url, credentials)
        plan = plan_measuring(observation)
        assert plan is not None
        kinds = (Counter, Histogram, Gauge)
        some = tuple(next(one for one in plan.series if isinstance(one, kind)) for kind in kinds)
        self.plan = replace(plan, series=some, queries=(("own", "up"),))

    def short(self) -> MeasurementPlan:
        return replace(self.plan, series=())

    def __call__(self, plan: MeasurementPlan | None = None) -> int:
        try:
            samples = asyncio.run(self.measured(plan or self.plan))
        except PrometheusError as error:
            print(error)
            return TOLD
        decision = decide(replace(self.observation, samples=samples), samples.measured_at)
        status = status_to_json(decision.status)
        json.dumps(status, allow_nan=False, ensure_ascii=False).encode()
        VALIDATOR.validate({key: value for key, value in status.items() if value is not None})
        told = [*samples.contradictory.values(), *(one.problem for one in samples.answers.values() if one.problem)]
        print(*told, sep="\n")
        return TOLD if told else READ

    async def measured(self, plan: MeasurementPlan) -> Samples:
        async with Prometheus(self.settings) as prometheus:
            before = self.observation.samples
            assert before is not None
            return await WaveMeasurement(prometheus).carry_out(plan, before.measured_at)


def test_odd_vectors(on_trial: Observation, server: BadServer) -> None:
    tries, analyst = Tries("operator: vectors of Prometheus", (READ, TOLD)), Analyst(on_trial, f"http://{server.host}")
    for about, data in share(odd_vectors()):
        server.say = says(answer("200 OK", data, Content_Type="application/json"))
        tries.call(about, analyst)
    tries.judge(200)


def test_answers_of_other_servers(on_trial: Observation, server: BadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    tries, analyst = Tries("operator: answers of Prometheus", (READ, TOLD)), Analyst(on_trial, f"http://{server.host}")
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.3)
    good = json.dumps(vector("1", "2")).encode()
    bodies = [(about, says(answer("200 OK", data))) for about, data in damaged(good, 40, "Prometheus")]
    dates = [(f"Date: {date}", says(answer("200 OK", good, Date=date))) for date in DATES]
    codings = [(one, says(answer("200 OK", good, Content_Encoding=one))) for one in ("gzip", "deflate", "br", "zstd")]
    for about, say in share([*dates, *bad_answers(good), *bodies, *codings, *slow_answers(good)]):
        server.say = say
        tries.call(about, lambda: analyst(analyst.short()))
    tries.judge(150)


def test_addresses_and_secrets(on_trial: Observation, server: BadServer, tmp_path: Path) -> None:
    tries = Tries("operator: addresses and Secrets of Prometheus", (READ, TOLD))
    server.say = says(answer("200 OK", json.dumps(vector("1")).encode()))
    for url in share(
        ("http://127.0.0.1:1", "http://[::1", "", "x", "ftp://x", "http://a b/", "http://\x00/", "http://" + "a" * 300)
    ):
        tries.call(url, lambda url=url: Analyst(on_trial, url)(replace(Analyst(on_trial, url).short())))  # type: ignore[misc]
    for name in ("token", "username", "password", "ca.crt", "tls.crt"):
        for about, data in share(damaged(b"a secret", 16, name)):
            folder = tmp_path / "secret"
            folder.mkdir(exist_ok=True)
            for old in folder.iterdir():
                old.unlink()
            (folder / "username").write_bytes(b"edge")
            (folder / name).write_bytes(data)
            analyst = Analyst(on_trial, f"http://{server.host}", folder)
            tries.call(f"{name} {about}", lambda analyst=analyst: analyst(analyst.short()))  # type: ignore[misc]
    tries.judge(60)
