"""The report ``report.md``: the manifest for people. Everything in it is in ``manifest.json`` too."""

import re
from typing import Any, Final

from edge_compressor.evaluation import MAX_CLASSES_SHOWN, TASKS
from edgemodel.artifact import ArtifactManifest


def render(manifest: ArtifactManifest) -> str:
    """Returns Markdown: artifact against source, the budget, the steps, and how it was measured."""
    evidence = manifest.evidence
    parts = [
        f"# {_plain(manifest.model)}, variant {manifest.variant}",
        _table(("", "source", "artifact"), comparison(evidence)),
        "## Budget",
        _budget(evidence["budget"]["checks"]),
        *_outputs(evidence),
        *_per_class(evidence["evaluation"] or {}),
        "## Steps",
        *_changes("The source was put in order first:", evidence.get("sourceChanges", [])),
        _steps(evidence["steps"], changed=bool(evidence.get("sourceChanges"))),
        *(part for step in evidence["steps"] for part in _changes(f"{step['name']}:", step.get("changes", []))),
        *(part for step in evidence["steps"] if "auto" in step for part in _search(step)),
        "## How it was measured",
        "\n".join(f"- {line}" for line in circumstances(manifest)),
    ]
    confusion = ((evidence["evaluation"] or {}).get("artifact") or {}).get("confusion")
    if confusion:
        parts += [
            "## Confusion matrix of the artifact",
            "Rows are labels, columns are predictions.",
            _matrix(confusion),
        ]
    return "\n\n".join(parts) + "\n"


_TIMES: Final = {"p50Milliseconds": "latency, median", "p95Milliseconds": "latency, 95th percentile"}
_SIZES: Final = {"sizeBytes": "size", "transferBytes": "to download"}


def comparison(evidence: dict[str, Any]) -> list[tuple[str, ...]]:
    """Returns rows of (what, source, artifact)."""
    rows = _compared(_SIZES, evidence, "{:,} bytes")
    evaluation = evidence["evaluation"] or {}
    task = TASKS.get(evaluation.get("task", ""))
    both = [evaluation.get(which) or {} for which in ("source", "artifact")]
    rows += [
        (name, *(_figure(one.get(key), form) for one in both))
        for key, (name, form) in (task.figures if task else {}).items()
        if any(key in one for one in both)
    ]
    if evaluation.get("agreementPercent") is not None:
        agreement = f"{evaluation['agreementPercent']:.2f} % ({evaluation['agreementKind']})"
        rows.append(("agreement with the source", "", agreement))
    if told := worst_output(evidence):
        rows.append(("relative error of the worst output", "", told))
    if evidence["latency"]:
        rows += _compared(_TIMES, evidence["latency"], "{:.3f} ms")
    return rows


OUTPUT_COLUMNS: Final = ("output", "error, % of the spread", "worst channel", "")
"""The head of the table of outputs."""


def output_rows(evidence: dict[str, Any]) -> list[tuple[str, ...]]:
    """Returns the rows of the table of outputs; empty if they were not compared with the source's."""
    found = evidence.get("relativeErrors") or {"outputs": []}
    return [
        (
            one["output"],
            _number(one["percent"], "{:.2f}"),
            f"{one['worstChannel']}: {one['worstChannelPercent']:.2f}" if one["channels"] > 1 else "",
            "; ".join(
                text
                for text in (
                    _number(one["differingPercent"], "{:.2f} % of the values differ"),
                    f"not judged: {one['notJudged']}" if one["notJudged"] else "",
                )
                if text
            ),
        )
        for one in found["outputs"]
    ]


def worst_output(evidence: dict[str, Any]) -> str:
    """Returns the error of the output that is furthest from the source's, in words; empty if none is judged."""
    found = evidence.get("relativeErrors") or {"outputs": []}
    judged = [one for one in found["outputs"] if one["percent"] is not None and not one["notJudged"]]
    if not judged:
        return ""
    worst = max(judged, key=lambda one: one["percent"])
    return f"{worst['percent']:.2f} % of its spread ({worst['output']}; {found['data']}, n = {found['samples']})"


def _outputs(evidence: dict[str, Any]) -> list[str]:
    rows = output_rows(evidence)
    return ["## Outputs beside those of the source", _table(OUTPUT_COLUMNS, rows)] if rows else []


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value).replace("%", " %")


def _compared(names: dict[str, str], values: dict[str, Any], form: str) -> list[tuple[str, ...]]:
    source, artifact = values["source"], values["artifact"]
    return [
        (name, form.format(source[key]), form.format(artifact[key]) + _times(source, artifact, key))
        for key, name in names.items()
    ]


def _times(source: dict[str, Any], artifact: dict[str, Any], key: str) -> str:
    return f" ({source[key] / artifact[key]:.2f}x)" if artifact[key] else ""


def worst_class(evaluation: dict[str, Any]) -> str:
    """Returns the class that lost most, in words; empty if classes are not compared."""
    worst = evaluation.get("worstClass")
    if not worst:
        return ""
    return (
        f"worst is class {worst['name']}: its {evaluation['perClass']} drops {worst['dropPercent']:.1f} points, "
        f"{worst['source'] * 100:.1f} % to {worst['artifact'] * 100:.1f} % "
        f"(90 % interval {worst['lowerPercent']:.1f} to {worst['upperPercent']:.1f}, n = {worst['samples']})"
    )


def _per_class(evaluation: dict[str, Any]) -> list[str]:
    if not evaluation.get("classes"):
        return []
    rows: list[tuple[str, ...]] = [
        (
            one["name"],
            str(one["samples"]),
            *(_figure(one[which], "{:.1%}") for which in ("source", "artifact")),
            f"{one['dropPercent']:.1f} ({one['lowerPercent']:.1f} to {one['upperPercent']:.1f})",
        )
        for one in evaluation["classes"]
    ]
    kind = evaluation["perClass"]
    head = ("class", "samples", f"{kind}, source", f"{kind}, artifact", "drop in points (90 % interval)")
    told = worst_class(evaluation)
    return ["## Classes", _plain(f"{told[0].upper()}{told[1:]}."), _table(head, rows)]


def _budget(checks: list[dict[str, Any]]) -> str:
    if not checks:
        return "No limits were set."
    return _table(("verdict", "check", ""), [(check["verdict"], check["name"], check["message"]) for check in checks])


def _changes(head: str, changes: list[str]) -> list[str]:
    """Returns ``head`` and the list of ``changes``; nothing if there are none."""
    return [_plain(head), "\n".join(f"- {_plain(change)}" for change in changes)] if changes else []


def _steps(steps: list[dict[str, Any]], *, changed: bool) -> str:
    if not steps:
        return "None." if changed else "None: nothing was compressed."
    rows: list[tuple[str, ...]] = [
        (
            step["name"],
            step["type"],
            ", ".join(f"{key}: {value}" for key, value in step["settings"].items()),
            f"{step['sizeBytes']:,} bytes",
        )
        for step in steps
    ]
    return _table(("step", "type", "settings", "size after it"), rows)


def _search(step: dict[str, Any]) -> list[str]:
    """Returns the table of Auto's trials; the columns after the one by which a trial was dropped are empty."""
    search = step["auto"]
    rows: list[tuple[str, ...]] = [
        (
            trial["name"] + (" (**taken**)" if trial["name"] == search["chosen"] else ""),
            _number(trial["sizeBytes"], "{:,}"),
            _number(trial["transferBytes"], "{:,}"),
            _interval(trial["speed"], "ratio", "lower", "upper", "{:.2f}"),
            _lost(trial) or _number(trial["agreementPercent"], "{:.2f} % agree"),
            trial["slowElsewhere"] or "",
            trial["dropped"] or ("kept, on the front" if trial["paretoFront"] else "kept"),
        )
        for trial in search["tried"]
    ]
    head = (
        "recipe",
        "bytes",
        "to download",
        "times as fast",
        "accuracy drops",
        "slow on other processors",
        "verdict",
    )
    told = [f"{search['reason']}.", *search["notes"]]
    told.append(f"Judged by {search['judgedBy']} on {search['samples']} samples, limit {search['limitPercent']} %.")
    return [f"## What {step['name']} tried", "\n".join(f"- {line}" for line in told), _table(head, rows)]


def _lost(trial: dict[str, Any]) -> str:
    """Returns the loss of a trial of Auto: the rise of the perplexity for a decoder, otherwise the drop of accuracy."""
    ends = ("percent", "lowerPercent", "upperPercent")
    if trial.get("perplexityIncrease") is not None:
        return "perplexity +" + _interval(trial["perplexityIncrease"], *ends, "{:.2f} %")
    return _interval(trial["accuracyDrop"], *ends, "{:.2f} %")


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _interval(value: dict[str, Any] | None, middle: str, lower: str, upper: str, form: str) -> str:
    if value is None:
        return ""
    return f"{form} ({form} to {form})".format(value[middle], value[lower], value[upper])


def circumstances(manifest: ArtifactManifest) -> list[str]:
    """Returns lines about data, machine and libraries; names in backticks are digests."""
    evidence, lines = manifest.evidence, []
    for name, dataset in evidence["datasets"].items():
        labels = ("with" if dataset["labelled"] else "without") + " labels"
        lines.append(f"{name} set: {dataset['samples']} samples {labels}, `{dataset['digest']}` from {dataset['uri']}")
    if not evidence["datasets"]:
        lines.append("no data sets were given: nothing is known about accuracy")
    lines += [*(evidence["evaluation"] or {}).get("notes", []), *evidence["notes"]]
    if evidence["latency"]:
        lines.append(f"latency: {evidence['latency']['runs']} single-sample runs of each, by turns, one thread")
    hardware = evidence["hardware"]
    lines.append(
        f"hardware: {hardware['processor']} ({hardware['architecture']}; {', '.join(hardware['instructionSets'])})"
    )
    lines.append("libraries: " + ", ".join(f"{name} {version}" for name, version in evidence["libraries"].items()))
    if manifest.golden:
        golden = manifest.golden
        lines.append(
            f"golden set: {golden.items} items, {golden.agreement}, {golden.min_percent} % must agree on a node"
        )
    else:
        lines.append("golden set: none, so nodes serve without a self-test")
    lines.append(f"source `{manifest.source_digest}`")
    if converter := manifest.evidence["source"].get("converter"):
        lines.append(
            f"of which the converter `{converter['image']}` made `{converter['digest']}` ({converter['writes']})"
        )
    lines.append(f"artifact `{manifest.artifact_digest}`")
    lines.append(
        f"signature `{evidence['signature']['hash']}`: inputs, outputs, class names and state, as callers see them"
    )
    return lines


def _matrix(confusion: list[list[int]]) -> str:
    if len(confusion) > MAX_CLASSES_SHOWN:
        return ""
    rows = [(f"**{number}**", *map(str, row)) for number, row in enumerate(confusion)]
    return _table(("", *map(str, range(len(confusion)))), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(words: str) -> str:
    """Returns a user's words as one line that contains no border of a table and no HTML."""
    return re.sub(r"([|<])", r"\\\1", " ".join(words.split()))
