"""The report ``report.html``: the facts of ``report.md`` with plots, in one self-contained file.

Names of models, classes and files come from users, so every one is escaped. The file has no script and loads nothing.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

from edge_compressor.reports.markdown import OUTPUT_COLUMNS, circumstances, comparison, output_rows, worst_class
from edge_compressor.reports.plots import confusion, latency, pareto, per_class
from edgemodel.artifact import ArtifactManifest

_STYLE: Final = """
:root{color-scheme:light}*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:46rem;font:16px/1.5 system-ui,sans-serif;color:#1b1f24;background:#fff}
h1{font-size:1.5rem;line-height:1.25;margin:.3rem 0;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:2rem 0 .5rem}p{margin:.4rem 0}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{padding:.35rem .6rem .35rem 0;border-bottom:1px solid #d9dde2;text-align:left;vertical-align:top}
td{overflow-wrap:break-word}
th{font-weight:600;color:#59636e}.numbers td+td,.numbers th+th{text-align:right;font-variant-numeric:tabular-nums}
svg{display:block;width:100%;max-width:38rem;height:auto;margin:.5rem 0}
.pair{display:flex;flex-wrap:wrap;gap:1rem}.pair>*{flex:1 1 19rem;min-width:0}
.Pass{color:#0a6b2b}.Fail{color:#b3261e}.Inconclusive{color:#8a5a00}.verdict{font-weight:600;white-space:nowrap}
ul{padding-left:1.1rem}li{overflow-wrap:anywhere;margin:.2rem 0}code{font-size:.85em;overflow-wrap:anywhere}
.faint{color:#59636e}
"""


def render(manifest: ArtifactManifest) -> str:
    """Returns the file; it is below 300 kB for any model, as classes and times are limited in the manifest."""
    evidence = manifest.evidence
    evaluation = evidence["evaluation"] or {}
    title = f"{manifest.model}, variant {manifest.variant}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="faint">{escape(_first_words(evidence))}</p>',
        _budget(evidence["budget"]["checks"]),
        _section("Source and artifact", _table(("", "source", "artifact"), comparison(evidence), kind="numbers")),
        _section("Size against accuracy", _pareto(evidence)),
        _section("Latency", latency.plot(evidence["latency"]) if evidence["latency"] else ""),
        _section("Outputs beside those of the source", _outputs(evidence)),
        _section("Classes", _classes(evaluation)),
        _section("Confusion", _confusions(evaluation)),
        _section("Steps", _steps(evidence["steps"])),
        _section("How it was measured", _listed(circumstances(manifest))),
    ]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
    )
    return f"{head}{''.join(parts)}</body></html>\n"


def _first_words(evidence: dict[str, Any]) -> str:
    source, artifact = (evidence[which]["sizeBytes"] for which in ("source", "artifact"))
    words = f"{source:,} bytes became {artifact:,}, {source / max(1, artifact):.1f}x smaller"
    if evidence["latency"]:
        before, after = (evidence["latency"][which]["p50Milliseconds"] for which in ("source", "artifact"))
        faster = before / after if after else 1.0
        words += f"; {faster:.2f}x as fast on the machine that measured"
    return f"{words}."


def _budget(checks: Sequence[dict[str, Any]]) -> str:
    if not checks:
        return "<p>No limits were set.</p>"
    rows = [
        f'<tr><td class="verdict {escape(check["verdict"])}">{escape(check["verdict"])}</td>'
        f"<td>{escape(check['message'])}</td></tr>"
        for check in checks
    ]
    return f"<table>{''.join(rows)}</table>"


def _outputs(evidence: dict[str, Any]) -> str:
    rows = output_rows(evidence)
    return _table(OUTPUT_COLUMNS, rows, kind="numbers") if rows else ""


def _pareto(evidence: dict[str, Any]) -> str:
    every = pareto.tried(evidence)
    rows = [
        (
            str(number),
            str(one.get("name", "")),
            f"{one['sizeBytes']:,} bytes",
            f"{one['score'] * 100:.2f} %" if isinstance(one.get("score"), int | float) else "-",
            f"{one['milliseconds']:.3g} ms" if isinstance(one.get("milliseconds"), int | float) else "-",
        )
        for number, one in enumerate(every[: pareto.MAX_LISTED], 1)
    ]
    picture = pareto.plot(evidence)
    return picture + (_table(("", "tried", "size", "score", "median"), rows) if rows else "")


def _classes(evaluation: dict[str, Any]) -> str:
    picture = per_class.plot(evaluation)
    if not picture:
        return ""
    told = worst_class(evaluation)
    count = len(evaluation["classes"])
    more = f" The {per_class.MAX_BARS} that lose most of {count}." if count > per_class.MAX_BARS else ""
    by_chance = " Of many classes, one in twenty is beyond its interval by chance."
    return f"<p>{escape(told[0].upper() + told[1:])}.{more}{by_chance}</p>{picture}"


def _confusions(evaluation: dict[str, Any]) -> str:
    names = {one["class"]: one["name"] for one in evaluation.get("classes") or []}
    called = [names.get(place, str(place)) for place in range(max(names, default=-1) + 1)]
    pictures = [
        f"<div>{confusion.plot(evaluation[which]['confusion'], called, which)}</div>"
        for which in ("source", "artifact")
        if (evaluation.get(which) or {}).get("confusion")
    ]
    if not pictures:
        return ""
    told = (
        "Rows are labels, columns predictions, shaded by the share of the row; red is what is taken for another class."
    )
    return f'<p>{told}</p><div class="pair">{"".join(pictures)}</div>'


def _steps(steps: Sequence[dict[str, Any]]) -> str:
    if not steps:
        return "<p>None: nothing was compressed.</p>"
    rows = [
        (
            f"{step['name']} ({step['type']})",
            ", ".join(f"{key}: {value}" for key, value in step["settings"].items()),
            f"{step['sizeBytes']:,} bytes",
        )
        for step in steps
    ]
    return _table(("step", "settings", "size after it"), rows)


def _listed(lines: Iterable[str]) -> str:
    """Returns the lines as a list; a text in backticks is code, as in Markdown."""
    marked = (re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(line)) for line in lines)
    return f"<ul>{''.join(f'<li>{line}</li>' for line in marked)}</ul>"


def _section(head: str, body: str) -> str:
    return f"<h2>{escape(head)}</h2>{body}" if body else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "") -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    shape = f' class="{kind}"' if kind else ""
    return f'<div class="wide"><table{shape}><tr>{top}</tr>{body}</table></div>'
