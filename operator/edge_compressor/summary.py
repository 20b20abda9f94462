"""``report.md``: the manifest for people. Everything in it is in ``manifest.json`` too."""

from typing import Any, Final

from edge_compressor.evaluate import MOST_CLASSES_SHOWN
from edgemodel.artifact import ArtifactManifest


def render(manifest: ArtifactManifest) -> str:
    """Markdown: what came out against what went in, the budget, the steps, how it was measured."""
    evidence = manifest.evidence
    parts = [
        f"# {manifest.model}, variant {manifest.variant}",
        _table(("", "source", "artifact"), _comparison(evidence)),
        "## Budget",
        _budget(evidence["budget"]["checks"]),
        "## Steps",
        _steps(evidence["steps"]),
        "## How it was measured",
        "\n".join(f"- {line}" for line in _circumstances(manifest)),
    ]
    confusion = ((evidence["evaluation"] or {}).get("artifact") or {}).get("confusion")
    if confusion:
        parts += [
            "## Confusion matrix of the artifact",
            "Rows are labels, columns are predictions.",
            _matrix(confusion),
        ]
    return "\n\n".join(parts) + "\n"


_SCORES: Final = {
    "accuracy": "accuracy",
    "macroPrecision": "precision, macro",
    "macroRecall": "recall, macro",
    "macroF1": "F1, macro",
}
_TIMES: Final = {"p50Milliseconds": "latency, median", "p95Milliseconds": "latency, 95th percentile"}
_SIZES: Final = {"sizeBytes": "size", "zstdBytes": "size after zstd-19"}


def _comparison(evidence: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = _compared(_SIZES, evidence, "{:,} bytes")
    evaluation = evidence["evaluation"] or {}
    if evaluation.get("source"):
        rows += [
            (name, *(f"{evaluation[which][key] * 100:.2f} %" for which in ("source", "artifact")))
            for key, name in _SCORES.items()
        ]
    if evaluation:
        agreement = f"{evaluation['agreementPercent']:.2f} % ({evaluation['agreementKind']})"
        rows.append(("agreement with the source", "", agreement))
    if evidence["latency"]:
        rows += _compared(_TIMES, evidence["latency"], "{:.3f} ms")
    return rows


def _compared(names: dict[str, str], values: dict[str, Any], form: str) -> list[tuple[str, ...]]:
    source, artifact = values["source"], values["artifact"]
    return [
        (name, form.format(source[key]), form.format(artifact[key]) + _times(source, artifact, key))
        for key, name in names.items()
    ]


def _times(source: dict[str, Any], artifact: dict[str, Any], key: str) -> str:
    return f" ({source[key] / artifact[key]:.2f}x)" if artifact[key] else ""


def _budget(checks: list[dict[str, Any]]) -> str:
    if not checks:
        return "No limits were set."
    return _table(("verdict", "check", ""), [(check["verdict"], check["name"], check["message"]) for check in checks])


def _steps(steps: list[dict[str, Any]]) -> str:
    if not steps:
        return "None: the artifact is the source, bit for bit."
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


def _circumstances(manifest: ArtifactManifest) -> list[str]:
    evidence, lines = manifest.evidence, []
    for name, dataset in evidence["datasets"].items():
        labels = ("with" if dataset["labelled"] else "without") + " labels"
        lines.append(f"{name} set: {dataset['samples']} samples {labels}, `{dataset['digest']}` from {dataset['uri']}")
    if not evidence["datasets"]:
        lines.append("no data sets were given: nothing is known about accuracy")
    lines += evidence["notes"]
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
    lines += [f"source `{manifest.source_digest}`", f"artifact `{manifest.artifact_digest}`"]
    return lines


def _matrix(confusion: list[list[int]]) -> str:
    if len(confusion) > MOST_CLASSES_SHOWN:
        return ""
    rows = [(f"**{number}**", *map(str, row)) for number, row in enumerate(confusion)]
    return _table(("", *map(str, range(len(confusion)))), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
