"""A type of check that the project does not have, defined in this file alone: all that a new one takes.

``QueueTime`` judges how long requests wait for a worker, by a histogram that no other check reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from crds.generated import check_item, with_generated_parts, without_defaults
from edge_operator.decide.analysis import CHECKS, WaveBaseline, plan_checks, plan_measuring
from edge_operator.decide.analysis.check_type import CheckType
from edge_operator.decide.analysis.evidence import ALPHA, Evidence, Judged
from edge_operator.decide.analysis.limits import Before
from edge_operator.decide.analysis.share_test import READ, Measure, judge_shares
from edge_operator.decide.measurement import Counts, Histogram, Minutes
from edge_operator.from_api import read_edge_model
from edge_operator.prometheus import Prometheus, PrometheusSettings, WaveMeasurement
from edge_statistics.dispersion import Moments
from edgemodel import metrics
from edgemodel.names import API_VERSION
from edgemodel.reasons import Kind, Reason, Topic
from edgemodel.setting_kinds import Amount, Settings
from edgemodel.verdict import Verdict
from tests.support import manifests
from tests.support.prometheus import History, run_prometheus
from tests.support.simulation import Simulation, built_once, model_spec
from tests.support.verdicts import analysis_of, counts, judged

ROOT = Path(__file__).resolve().parents[3]

# --- the check: all that a new one takes ---

WAITED = Histogram(metrics.QUEUE_SECONDS)
BY_MINUTE = Minutes(WAITED)
TOO_LONG_SECONDS = 0.1


@dataclass(frozen=True)
class QueueTimeRule:
    max_increase: float


def parse(settings: Settings) -> QueueTimeRule:
    return QueueTimeRule(float(settings["maxIncreasePercent"]) / 100)


def judge(name: str, rule: QueueTimeRule, evidence: Evidence) -> Judged:
    def total(counts: Counts) -> int:
        return WAITED.of(counts).get(inf, 0)

    def bad(counts: Counts, _: float | None = None) -> int:
        return total(counts) - WAITED.of(counts).get(TOO_LONG_SECONDS, 0)

    def minutes(counts: Counts, _: float | None) -> Moments | None:
        in_time = BY_MINUTE.moments(counts, TOO_LONG_SECONDS)
        return in_time.complement() if in_time is not None else None

    waited = Measure(
        key="waited",
        settings=(rule.max_increase,),
        words="waited longer than 100 ms",
        bad=bad,
        total=total,
        before=lambda counts: Before(bad(counts), total(counts), rule.max_increase),
        minutes=minutes,
        without_baseline=Before(0, 0, rule.max_increase),
    )
    return judge_shares(name, evidence, [waited])


CHECK = CheckType(
    type="QueueTime",
    doc="The share of requests that wait too long for a worker.",
    settings={
        "maxIncreasePercent": Amount(
            "How many percentage points more are too much. Default: 5.",
            unit="percentage points",
            example="5.0",
            default="5",
            above=True,
        )
    },
    parse=parse,
    judge=judge,
    fails_with=Reason(
        "QueuedTooLong",
        Topic.ANALYSIS,
        Kind.STALLED,
        "Requests wait longer than before.",
        "Give the servers more workers.",
    ),
    series=(*READ, WAITED, BY_MINUTE),
    statistical=True,
)

# --- its effects ---

STRICT = {"name": "queue", "type": "QueueTime", "queueTime": {"maxIncreasePercent": "2.5"}}
WITH_DEFAULTS = {"name": "queue", "type": "QueueTime"}


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adds the check to the list of checks."""
    monkeypatch.setitem(CHECKS, CHECK.type, CHECK)


def test_the_schema_has_it_with_its_settings_their_documentation_and_their_rules() -> None:
    text = (ROOT / "crds" / "edgemodels.edgemodel.io.yaml").read_text()
    crd = manifests.read(with_generated_parts(text, checks=CHECKS.values()))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    item = schema["analysis"]["properties"]["checks"]["items"]
    assert item == without_defaults(check_item(CHECKS.values()))
    assert item["properties"]["type"]["enum"][-1] == "QueueTime"
    assert item["properties"]["type"]["description"].endswith(
        "QueueTime: the share of requests that wait too long for a worker."
    )
    setting = item["properties"]["queueTime"]["properties"]["maxIncreasePercent"]
    assert setting["description"] == "How many percentage points more are too much. Default: 5."
    assert "default" not in setting
    (rule,) = setting["x-kubernetes-validations"]
    assert rule["message"] == 'write percentage points above 0, at most 100, as a decimal string, such as "5.0"'
    assert "queueTime belongs to type QueueTime only" in {rule["message"] for rule in item["x-kubernetes-validations"]}
    jsonschema.validate(STRICT, item)


def test_a_manifest_with_it_is_read_and_its_defaults_are_those_of_the_schema() -> None:
    strict, default = (plan_checks(analysis_of(check))[0] for check in (STRICT, WITH_DEFAULTS))
    assert (strict.rule, default.rule) == (QueueTimeRule(0.025), QueueTimeRule(0.05))
    assert read_edge_model(edge_model(STRICT)).name == "m"


@pytest.mark.parametrize("settings", [{"maxIncreasePercent": "0"}, {"maxIncreasePercent": 5}, {"maxSeconds": "1"}])
def test_settings_that_its_schema_refuses_are_not_read(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="queueTime"):
        read_edge_model(edge_model({**STRICT, "queueTime": settings}))


def test_an_operator_without_it_reads_no_manifest_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CHECKS, CHECK.type)
    with pytest.raises(ValueError, match="check queue: type 'QueueTime' is not known to this operator: ErrorRate"):
        read_edge_model(edge_model(STRICT))


def test_it_shares_the_probability_of_failing_by_chance_with_the_other_statistical_checks() -> None:
    both = analysis_of({"name": "errors", "type": "ErrorRate"}, {"name": "golden", "type": "GoldenAgreement"}, STRICT)
    assert WaveBaseline.begin(both, 1, datetime.now(UTC)).alpha == ALPHA / 2


@pytest.mark.lab_programs
async def test_prometheus_is_queried_for_its_series_in_every_window(tmp_path: Path) -> None:
    world = queueing()
    plan = plan_measuring(world.observe())
    assert plan is not None
    now, past = plan.since + timedelta(seconds=300), History()
    for node, revision, waited in (("camera-1", plan.candidate, 40), ("camera-2", plan.stable, 2)):
        labels = {"namespace": "vision", "model": "m", "revision": str(revision), "node": node, "process": node}
        for edge, per_second in (("0.1", 100 - waited), ("+Inf", 100)):
            times = [plan.since.timestamp() + second for second in range(-600, 300, 15)]
            seen = times if revision == plan.stable else [time for time in times if time > plan.since.timestamp()]
            past.counter(f"{metrics.QUEUE_SECONDS}_bucket", {**labels, "le": edge}, seen, per_second)
    with run_prometheus(tmp_path, past) as address:
        async with Prometheus(PrometheusSettings(f"http://{address}")) as prometheus:
            found = await WaveMeasurement(prometheus).carry_out(plan, now)
    shares = {
        window: {item.node: WAITED.of(item)[TOO_LONG_SECONDS] / WAITED.of(item)[inf] for item in windows}
        for window, windows in (("trial", found.trial), ("control", found.control), ("baseline", found.baseline))
    }
    assert shares == {
        "trial": {"camera-1": pytest.approx(0.6)},
        "control": {"camera-2": pytest.approx(0.98)},
        "baseline": {"camera-2": pytest.approx(0.98)},
    }


def test_its_reason_is_in_the_table_of_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from docs import reference_pages

    (page,) = (page for page in reference_pages.pages() if page.file == "reasons.md")
    entry = page.text().partition("QueuedTooLong\n")[2].partition("\n#")[0]
    assert "Requests wait longer than before." in entry
    assert "Give the servers more workers." in entry


def test_it_judges_and_fails_with_a_reason_of_its_own() -> None:
    found = judged(analysis_of(STRICT), (waiting("camera-1", 1000, 300),), (waiting("camera-1", 5000, 50),))
    assert (found.verdict, found.reason) == (Verdict.FAIL, "QueuedTooLong")
    assert found.message.startswith("30 % of requests waited longer than 100 ms, limit ")
    calm = judged(analysis_of(STRICT), (waiting("camera-1", 5000, 50),), (waiting("camera-1", 5000, 50),))
    assert calm.verdict is Verdict.PASS


def test_a_candidate_that_fails_it_is_rolled_back() -> None:
    world = queueing()
    world.waits = {world.target(): 0.3}
    world.run(120)
    condition = world.condition("Ready")
    assert condition["reason"] == "RolledBack"
    assert "check queue: " in condition["message"]
    (rejected,) = world.status["rejectedRevisions"]
    assert rejected["reason"] == "QueuedTooLong"
    assert {verdict.reason for verdict in world.verdict_log} >= {"QueuedTooLong"}


def test_a_candidate_that_passes_it_becomes_stable() -> None:
    world = queueing()
    world.run(1200)
    assert world.status["stableRevision"] == world.target()


# --- a fleet whose requests wait ---


class Queueing(Simulation):
    """A simulation that also counts how long requests waited: ``waits`` is the share that waits too long, by
    revision."""

    waits: Mapping[str, float] = {}

    def _counts(self, node: str, revision: str | None, seconds: float, failing: float | None = None) -> Counts:
        found = super()._counts(node, revision, seconds, failing)
        total = round(self.requests_per_second * max(seconds, 0))
        long = round(total * self.waits.get(revision or "", 0.01))
        return replace(found, values={**found.values, WAITED: {0.01: 0, TOO_LONG_SECONDS: total - long, inf: total}})


@built_once
def queueing() -> Queueing:
    """Returns a fleet on which a candidate has begun to serve, judged by the check alone."""
    world = Queueing.with_nodes(3, spec=model_spec(analysis={"checks": [STRICT]}), requests_per_second=20)
    assert isinstance(world, Queueing)
    world.run(1200)
    world.new_source("b")
    world.run(27)
    assert world.status["candidateRevision"] == world.target()
    return world


def waiting(node: str, total: int, long: int) -> Counts:
    found = counts(node, total=total)
    return replace(found, values={**found.values, WAITED: {TOO_LONG_SECONDS: total - long, inf: total}})


def edge_model(check: Mapping[str, Any]) -> dict[str, Any]:
    meta = {
        "namespace": "vision",
        "name": "m",
        "uid": "u",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    spec = model_spec(analysis={"checks": [check]})
    return {"apiVersion": API_VERSION, "kind": "EdgeModel", "metadata": meta, "spec": spec}
