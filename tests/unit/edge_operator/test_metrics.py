"""The metrics of the operator."""

from math import exp, isfinite, log
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from edge_operator.decide.analysis.evidence import ABOVE_LIMIT, BELOW_LIMIT, WORSE, Judged
from edge_operator.metrics import Metrics
from edge_operator.writes import new_verdicts
from edgemodel.status import CheckStatus, NodeCounts
from edgemodel.verdict import Verdict
from edgemodel.version import VERSION
from tests.support.simulation import Simulation, model_spec
from tests.support.verdicts import analysis_of, counts, judged


def scraped(metrics: Metrics) -> set[str]:
    return {line for line in generate_latest(metrics.registry).decode().splitlines() if not line.startswith("#")}


def test_the_version_and_the_images_in_use_are_told() -> None:
    metrics = Metrics()
    metrics.tell_images({"server": "registry.example/server@sha256:1", "compressor": "registry.example/compressor:1"})
    found = scraped(metrics)
    assert f'edgemodel_operator_build_info{{version="{VERSION}"}} 1.0' in found
    assert 'edgemodel_operator_image_info{image="registry.example/server@sha256:1",program="server"} 1.0' in found


def test_nodes_are_counted_by_state() -> None:
    metrics = Metrics()
    counts = NodeCounts(selected=6, stable=2, candidate=1, offline=3, not_ready=())
    metrics.watch_nodes(lambda: [("vision", "m", counts)])
    found = scraped(metrics)
    assert 'edgemodel_operator_nodes{model="m",namespace="vision",state="stable"} 2.0' in found
    assert 'edgemodel_operator_nodes{model="m",namespace="vision",state="offline"} 3.0' in found
    assert 'edgemodel_operator_nodes{model="m",namespace="vision",state="failed"} 0.0' in found
    assert not any("selected" in line for line in found)


def test_requests_to_the_api_server_are_counted_by_verb_and_kind() -> None:
    metrics, requests = Metrics(), {("patch", "EdgeModel/status"): 2}
    metrics.watch_requests(requests)
    requests["get", "Lease"] = 1
    found = scraped(metrics)
    assert 'edgemodel_operator_api_requests_total{kind="EdgeModel/status",verb="patch"} 2.0' in found
    assert 'edgemodel_operator_api_requests_total{kind="Lease",verb="get"} 1.0' in found


def test_a_verdict_counts_when_it_changes_and_not_when_it_is_measured_again() -> None:
    def checks(verdict: Verdict, count: int) -> tuple[CheckStatus, ...]:
        gate = CheckStatus("maxSizeBytes", Verdict.PASS, "", "", 0, "")
        on_nodes = CheckStatus("errors", verdict, "", "", count, "", variant="default", revision="m-1")
        return gate, on_nodes

    undecided = Verdict.INCONCLUSIVE
    assert new_verdicts((), checks(undecided, 1)) == (("errors", "Inconclusive"),)
    assert new_verdicts(checks(undecided, 1), checks(undecided, 2)) == ()
    assert new_verdicts(checks(undecided, 2), checks(Verdict.FAIL, 3)) == (("errors", "Fail"),)


# --- evidence ---


ERRORS = analysis_of({"name": "errors", "type": "ErrorRate"})
BEFORE = (counts(total=2000, errors=1),)
KEY = ("vision", "m")
EVIDENCE = "edgemodel_operator_check_evidence"
REQUESTS = "edgemodel_operator_check_requests_to_decide"


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Returns the samples of one metric, by the values of its labels but namespace, model and
    revision."""
    text = generate_latest(metrics.registry).decode()
    (family,) = (family for family in text_string_to_metric_families(text) if family.name == name)
    return {
        tuple(
            value for key, value in sample.labels.items() if key not in ("namespace", "model", "revision")
        ): sample.value
        for sample in family.samples
    }


def told(*results: Judged) -> Metrics:
    metrics = Metrics()
    metrics.tell_evidence(KEY, "m-1", results)
    return metrics


def test_the_evidence_of_each_measure_is_told_by_hypothesis_and_alternative_with_its_limits() -> None:
    found = judged(ERRORS, (counts(total=400, errors=1),), BEFORE)
    metrics = told(found)
    ratios, limits = (samples(metrics, name) for name in (EVIDENCE, f"{EVIDENCE}_limit"))
    line = (
        'edgemodel_operator_check_evidence{alternative="2",check="errors",hypothesis="Worse",measure="failed",model="m",'
        'namespace="vision",revision="m-1",variant="default"}'
    )
    assert line in {line.rpartition(" ")[0] for line in scraped(metrics)}
    assert len(ratios) == 2 * 8
    assert len(limits) == 2 * 3
    for result in found.results:
        for hypothesis in result.hypotheses:
            key = {"errors", hypothesis.name, result.measure, "default"}
            (limit,) = (value for labels, value in limits.items() if set(labels) == key)
            assert limit == hypothesis.limit


def test_the_numbers_of_a_model_replace_each_other_and_go_with_its_trial() -> None:
    metrics = told(judged(ERRORS, (counts(total=50),), BEFORE))
    (few,) = (value for key, value in samples(metrics, REQUESTS).items() if "failed" in key)
    metrics.tell_evidence(KEY, "m-2", (judged(ERRORS, (counts(total=100),), BEFORE),))
    (more,) = (value for key, value in samples(metrics, REQUESTS).items() if "failed" in key)
    assert more < few
    metrics.tell_evidence(KEY, None, ())
    assert samples(metrics, REQUESTS) == samples(metrics, EVIDENCE) == {}


def test_a_number_that_is_not_known_has_no_sample() -> None:
    near, few = judged(ERRORS, (counts(total=4000, errors=44),), BEFORE), judged(ERRORS, (counts(total=1),), BEFORE)
    assert not any("failed" in key for key in samples(told(near), REQUESTS))
    assert not any("failed" in key for key in samples(told(near), "edgemodel_operator_check_minutes_to_decide"))
    assert not any("failed" in key for key in samples(told(few), "edgemodel_operator_check_detectable_percent"))
    for metrics in (told(near), told(few)):
        assert all(isfinite(float(line.rpartition(" ")[2])) for line in scraped(metrics))


def test_a_decided_check_needs_no_more_requests() -> None:
    metrics = told(judged(ERRORS, (counts(total=2000),), BEFORE))
    assert set(samples(metrics, REQUESTS).values()) == {0}
    (found,) = (v for k, v in samples(metrics, "edgemodel_operator_check_detectable_percent").items() if "failed" in k)
    assert 1 < found < 3


def mixed(metrics: list[Metrics], hypothesis: str) -> tuple[float, float]:
    """Returns (the mixed ratios of several clusters together, the limit), as a query of Prometheus would: the sum over
    clusters for each alternative, and then the logarithm of the mean of the exponentials."""
    together: dict[tuple[str, ...], float] = {}
    for one in metrics:
        for key, value in samples(one, EVIDENCE).items():
            if hypothesis in key and "failed" in key:
                together[key] = together.get(key, 0) + value
    (limit,) = {
        value
        for key, value in samples(metrics[0], f"{EVIDENCE}_limit").items()
        if hypothesis in key and "failed" in key
    }
    return log(sum(map(exp, together.values())) / len(together)), limit


def test_the_evidence_of_clusters_adds_up_to_a_verdict_that_none_of_them_can_reach() -> None:
    def site(errors: int) -> Judged:
        return judged(ERRORS, (counts(total=120, errors=errors),), BEFORE)

    good, bad = [told(site(0)) for _ in range(4)], [told(site(3)) for _ in range(4)]
    assert {site(errors).verdict for errors in (0, 3)} == {Verdict.INCONCLUSIVE}
    for sites, shown in ((good, {BELOW_LIMIT}), (bad, {WORSE, ABOVE_LIMIT})):
        reached = set()
        for hypothesis in (WORSE, ABOVE_LIMIT, BELOW_LIMIT):
            ratio, limit = mixed(sites, hypothesis)
            reached |= {hypothesis} if ratio >= limit else set()
        assert reached == shown


def test_the_evidence_is_told_in_each_pass_of_a_trial_and_not_after_it() -> None:
    world = Simulation.with_nodes(3, spec=model_spec(analysis={"checks": [{"name": "errors", "type": "ErrorRate"}]}))
    world.run(1200)
    world.new_source("b")
    assert world.decide().judged == ()
    world.run(60)
    (errors,) = world.decide().judged
    assert [result.measure for result in errors.results] == ["failed", "refused"]
    world.errors[world.target()] = 0.5
    world.run(120)
    assert world.status["rejectedRevisions"]
    assert world.decide().judged == ()


def test_the_documentation_names_the_metrics_and_hypotheses() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "verdicts.md").read_text()
    names = {family.name for family in Metrics().registry.collect() if "_check_" in family.name}
    assert len(names) == 5
    assert [name for name in (*names, WORSE, ABOVE_LIMIT, BELOW_LIMIT) if f"`{name}`" not in text] == []
