"""``kubectl edgemodel status``: prints an EdgeModel's status for people to read."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from edge_cli import kubectl
from edge_cli.verb import Verb
from edgemodel.error_words import in_words
from edgemodel.kubectl import KubectlFailure
from edgemodel.report import ArtifactReport
from edgemodel.status import (
    OPERATOR_VERSION,
    CheckStatus,
    ClassPreflight,
    EdgeModelStatus,
    RolloutStatus,
    StoredCondition,
    parse_readable_status,
)
from edgemodel.timestamp import timestamp
from edgemodel.verdict import Verdict


def describe(model: dict[str, Any], *, wide: bool = False) -> str:
    """Returns lines for a terminal; they leave out what the status does not hold yet.

    With ``wide``, they include the version of the operator and the evidence of the checks.

    The last ones name what another version of the operator wrote otherwise. Raises ValueError if the status is no
    object, and KeyError or TypeError if the metadata are incomplete.
    """
    meta = model["metadata"]
    status, unreadable = parse_readable_status(model.get("status") or {})
    conditions = {condition.type: condition for condition in status.conditions}
    lines = [f"{meta['namespace']}/{meta['name']}"]
    if "Ready" in conditions:
        lines += _ready(conditions, is_newest=status.observed_generation == meta.get("generation"))
    elif not unreadable:
        lines.append("  not reconciled yet: is the operator running?")
    lines += _revisions(status)
    version = (model.get("status") or {}).get(OPERATOR_VERSION)
    if wide and isinstance(version, str):
        lines.append(f"  written by  operator {version}")
    lines += _section("artifacts", _table(map(_artifact, status.artifacts)))
    lines += _section("preflight", _table(map(_class, status.preflight.classes if status.preflight else ())))
    lines += _section("checks", _table(map(_check, status.checks)))
    if wide:
        lines += _section("evidence", _table(_evidence(status.checks)))
    lines += _section("rejected", [f"{item.name}: {item.reason}: {item.why}" for item in status.rejected_revisions])
    if "NodesPending" in conditions:
        lines += _section("nodes pending", [conditions["NodesPending"].message])
    lines += _section("unreadable; use the plug-in of the operator's version", unreadable)
    return "\n".join(lines)


def _ready(conditions: Mapping[str, StoredCondition], *, is_newest: bool) -> list[str]:
    ready = conditions["Ready"]
    word = "Ready" if ready.status == "True" else "Stalled" if "Stalled" in conditions else "Reconciling"
    lines = [f"  {word}: {ready.reason}: {ready.message}"]
    if not is_newest:
        lines.append("  (of an older spec: the newest is not reconciled yet)")
    return lines


def _revisions(status: EdgeModelStatus) -> list[str]:
    nodes, lines = status.nodes, []
    if status.stable_revision:
        lines.append(f"  stable      {status.stable_revision} on {_nodes(nodes.stable if nodes else 0)}")
    if status.candidate_revision:
        where = [f"on {_nodes(nodes.candidate if nodes else 0)}", *_wave(status.rollout)]
        lines.append(f"  candidate   {status.candidate_revision} {', '.join(where)}")
    if nodes:
        counts = (
            (nodes.offline, "offline"),
            (nodes.failed, "failed"),
            (nodes.unsupported, "unsupported"),
            (nodes.set_aside, "set aside"),
        )
        rest = [f"{count} {word}" for count, word in counts if count]
        lines.append(f"  nodes       {', '.join([f'{nodes.selected} selected', *rest])}")
    return lines


def _nodes(count: int) -> str:
    return f"{count} node" if count == 1 else f"{count} nodes"


def _wave(rollout: RolloutStatus | None) -> list[str]:
    if rollout is None:
        return []
    words = [f"wave {rollout.wave_name} ({rollout.wave + 1} of {rollout.waves})"]
    if rollout.wave_started_at is not None:
        words.append(f"since {timestamp(rollout.wave_started_at)}")
    if rollout.held_since is not None:
        words.append(f"held since {timestamp(rollout.held_since)}")
    if rollout.control_nodes:
        stay = "stays" if rollout.control_nodes == 1 else "stay"
        words.append(f"{_nodes(rollout.control_nodes)} {stay} on stable until the bake is through")
    return words


def _artifact(item: ArtifactReport) -> list[str]:
    sizes = f"{item.source_size_bytes} -> {item.size_bytes} bytes" if item.source_size_bytes and item.size_bytes else ""
    accuracy = f"accuracy {item.source_accuracy} -> {item.accuracy}" if item.accuracy else ""
    before, after = item.source_latency_milliseconds, item.latency_milliseconds
    latency = f"{before} -> {after} ms" if before and after else ""
    facts = item.generator
    text = f"up to {facts.context_tokens} tokens, {facts.cache_bytes_per_token} bytes of cache each" if facts else ""
    return [item.variant, sizes, accuracy, latency, text]


def _class(item: ClassPreflight) -> list[str]:
    verdict = "asked" if item.verdict is None else item.verdict.value
    if item.verdict is Verdict.INCONCLUSIVE:
        verdict = "Unverified"
    return [item.name, item.node or "no node", verdict, item.message or ""]


def _check(item: CheckStatus) -> list[str]:
    where = "gate" if item.revision is None else item.variant or "nodes"
    return [item.name, where, item.verdict, item.message]


def _evidence(checks: Iterable[CheckStatus]) -> Iterable[list[str]]:
    """Yields a row for each hypothesis of each check, and one for what the check still needs."""
    for check in checks:
        who = [check.name, check.variant or "nodes"]
        for item in check.evidence:
            ratios = ", ".join(f"{one.log_likelihood_ratio} for {one.alternative}x" for one in item.ratios)
            yield [*who, item.measure, item.hypothesis, f"limit {item.limit}: {ratios}"]
        if check.evidence:
            found, more = check.detectable_percent, check.requests_to_decide
            finds = f"finds {found} points" if found is not None else "finds no increase"
            needs = f"{more} more requests decide" if more is not None else "no number of requests decides"
            yield [*who, "", "", f"{finds}, {needs}"]


def _section(title: str, rows: Sequence[str]) -> list[str]:
    return [f"  {title}", *(f"    {row}" for row in rows)] if rows else []


def _table(rows: Iterable[list[str]]) -> list[str]:
    """Returns the rows with columns as wide as their widest cell; the last column is not padded."""
    cells = list(rows)
    if not cells:
        return []
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]) - 1)]
    return ["  ".join((*map(str.ljust, row, widths), row[-1])).rstrip() for row in cells]


def _add_options(command: argparse.ArgumentParser) -> None:
    kubectl.add_model_options(command)
    command.add_argument(
        "--wide", action="store_true", help="show the version of the operator and the evidence behind each check, too"
    )


def run(options: argparse.Namespace) -> int:
    """Prints the status and returns the exit code. Raises KubectlFailure."""
    model = kubectl.get_model(options)
    try:
        text = describe(model, wide=options.wide)
    except (KeyError, TypeError, ValueError) as error:
        message = f"edgemodel/{options.name} has another form than this version of the plugin knows: {in_words(error)}"
        raise KubectlFailure(f"{message}; install the version of the operator") from error
    print(text)
    return 0


VERB: Final = Verb(
    name="status",
    summary="show the compression's result, the nodes that run it, and its checks",
    description="Shows the result of the compression, the revision of each node, and the checks of the candidate.",
    add_options=_add_options,
    run=run,
)
