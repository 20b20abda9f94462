"""``kubectl edgemodel status``: prints an EdgeModel's status for people to read."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, Final

from edge_cli import kubectl
from edge_cli.verb import Verb
from edgemodel.error_words import in_words

Object = dict[str, Any]


def describe(model: Object, wide: bool = False) -> str:
    """Returns lines for a terminal, with ``wide`` also the version of the operator and the
    evidence of the checks; they leave out what the status does not hold yet."""
    meta, status = model["metadata"], model.get("status") or {}
    conditions = {item["type"]: item for item in status.get("conditions") or ()}
    lines = [f"{meta['namespace']}/{meta['name']}", *_ready(conditions, status, meta)]
    lines += _revisions(status)
    if wide and status.get("operatorVersion"):
        lines.append(f"  written by  operator {status['operatorVersion']}")
    lines += _section("artifacts", _table(map(_artifact, status.get("artifacts") or ())))
    lines += _section("preflight", _table(map(_class, _classes(status))))
    lines += _section("checks", _table(map(_check, status.get("checks") or ())))
    if wide:
        lines += _section("evidence", _table(_evidence(status.get("checks") or ())))
    lines += _section("rejected", [f"{item['name']}: {_text(item)}" for item in status.get("rejectedRevisions") or ()])
    pending = conditions.get("NodesPending")
    if pending is not None:
        lines += _section("nodes pending", [pending["message"]])
    return "\n".join(lines)


def _ready(conditions: dict[str, Object], status: Object, meta: Object) -> list[str]:
    ready = conditions.get("Ready")
    if ready is None:
        return ["  not reconciled yet: is the operator running?"]
    word = "Ready" if ready["status"] == "True" else "Stalled" if "Stalled" in conditions else "Reconciling"
    lines = [f"  {word}: {ready['reason']}: {ready['message']}"]
    if status.get("observedGeneration") != meta.get("generation"):
        lines.append("  (of an older spec: the newest is not reconciled yet)")
    return lines


def _revisions(status: Object) -> list[str]:
    nodes, rollout = status.get("nodes") or {}, status.get("rollout") or {}
    lines = []
    if status.get("stableRevision"):
        lines.append(f"  stable      {status['stableRevision']} on {nodes.get('stable', 0)} nodes")
    if status.get("candidateRevision"):
        wave = f"wave {rollout['waveName']} ({rollout['wave'] + 1} of {rollout['waves']})" if rollout else ""
        held = f", held since {rollout['heldSince']}" if rollout.get("heldSince") else ""
        controls = rollout.get("controlNodes", 0)
        stay = "node stays" if controls == 1 else "nodes stay"
        kept = f", {controls} {stay} on stable until the bake is through"
        where = f"on {nodes.get('candidate', 0)} nodes, {wave}, since {rollout.get('waveStartedAt', '')}{held}"
        where += kept if controls else ""
        lines.append(f"  candidate   {status['candidateRevision']} {where}")
    words = {"offline": "offline", "failed": "failed", "unsupported": "unsupported", "setAside": "set aside"}
    rest = [f"{nodes[key]} {word}" for key, word in words.items() if nodes.get(key)]
    if nodes:
        lines.append(f"  nodes       {nodes['selected']} selected{''.join(f', {item}' for item in rest)}")
    return lines


def _artifact(item: Object) -> list[str]:
    size, source = item.get("sizeBytes"), item.get("sourceSizeBytes")
    accuracy = f"accuracy {item['sourceAccuracy']} -> {item['accuracy']}" if item.get("accuracy") else ""
    before, after = item.get("sourceLatencyMilliseconds"), item.get("latencyMilliseconds")
    latency = f"{before} -> {after} ms" if before and after else ""
    return [item["variant"], f"{source} -> {size} bytes", accuracy, latency]


def _classes(status: Object) -> Sequence[Object]:
    found: Sequence[Object] = (status.get("preflight") or {}).get("classes") or ()
    return found


def _class(item: Object) -> list[str]:
    verdict = item.get("verdict", "asked")
    return [
        item["name"],
        item.get("node", "no node"),
        "Unverified" if verdict == "Inconclusive" else verdict,
        item.get("message", ""),
    ]


def _check(item: Object) -> list[str]:
    where = item.get("variant", "nodes") if "revision" in item else "gate"
    return [item["name"], where, item["verdict"], item.get("message", "")]


def _evidence(checks: Iterable[Object]) -> Iterable[list[str]]:
    """Yields a row for each hypothesis of each check, and one for what the check still needs."""
    for check in checks:
        who = [check["name"], check.get("variant", "nodes")]
        for item in check.get("evidence") or ():
            ratios = ", ".join(f"{one['logLikelihoodRatio']} for {one['alternative']}x" for one in item["ratios"])
            yield [*who, item["measure"], item["hypothesis"], f"limit {item['limit']}: {ratios}"]
        if check.get("evidence"):
            found, more = check.get("detectablePercent"), check.get("requestsToDecide")
            finds = f"finds {found} points" if found is not None else "finds no increase"
            needs = f"{more} more requests decide" if more is not None else "no number of requests decides"
            yield [*who, "", "", f"{finds}, {needs}"]


def _text(item: Object) -> str:
    return f"{item.get('reason', '')}: {item.get('message', '')}"


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
    """Prints the status and returns the exit code. Raises KubectlError."""
    model = kubectl.get_model(options)
    try:
        text = describe(model, options.wide)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        message = f"edgemodel/{options.name} has another form than this version of the plugin knows: {in_words(error)}"
        raise kubectl.KubectlError(f"{message}; install the version of the operator") from error
    print(text)
    return 0


VERB: Final = Verb(
    name="status",
    summary="show the compression's result, the nodes that run it, and its checks",
    description="Shows the result of the compression, the revision of each node, and the checks of the candidate.",
    add_options=_add_options,
    run=run,
)
