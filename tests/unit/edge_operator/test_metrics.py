"""The metrics of the operator."""

from prometheus_client import generate_latest

from edge_operator.metrics import Metrics
from edge_operator.writes import new_verdicts
from edgemodel.status import CheckStatus, NodeCounts
from edgemodel.verdict import Verdict


def scraped(metrics: Metrics) -> set[str]:
    return {line for line in generate_latest(metrics.registry).decode().splitlines() if not line.startswith("#")}


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
