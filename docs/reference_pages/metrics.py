"""The page of metrics, from the collectors of operator and server and from the contract in ``edgemodel.metrics``."""

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

from docs.reference_pages.page import Page, cell, heading_anchor
from edge_operator.metrics import Metrics
from edgemodel import metrics as contract
from edgemodel.artifact import ArtifactManifest
from inference_server.identity import Identity
from inference_server.observability.metrics import Exposition, ModelMetrics
from inference_server.observability.tokens import TokenMetrics

UNITS = {
    "_info": "none",
    "_seconds": "seconds",
    "_bytes": "bytes",
    "_percent": "percent",
    "_confidence": "probability, 0 to 1",
    "_minutes_to_decide": "minutes",
    "_requests_to_decide": "requests",
    "_evidence": "natural logarithm",
    "_evidence_limit": "natural logarithm",
    "_depth": "EdgeModels",
    "_nodes": "nodes",
    "_objects": "objects",
    "_items": "items",
    "_threads": "threads",
    "_requests_total": "requests",
    "_predictions_total": "items",
    "_feedback_total": "items",
    "_verdicts_total": "verdicts",
    "_transitions_total": "changes",
    "_tokens_total": "tokens",
    "_finished_total": "requests",
    "_errors_total": "errors",
}
"""The unit by the end of the name; the longest counts."""

LABELS = {
    "alternative": "the alternative of a hypothesis, a multiple of the increase that is too much",
    "artifact_digest": "the digest of the artifact",
    "check": "the name of the check",
    "class": "the predicted class: its position, or the whole number itself; `other` beyond the counted ones",
    "correct": "`true` or `false`: whether the prediction was right by its label",
    "direction": "`in` for tokens of prompts, `out` for generated ones",
    "hypothesis": "`Worse`, `AboveLimit` or `BelowLimit`",
    "image": "the reference of the image",
    "kind": "the kind of object, with its subresource if there is one",
    "measure": "what the check measures",
    "model": "the name of the EdgeModel",
    "name": "the name of the object",
    "namespace": "the namespace of the EdgeModel",
    "node": "the name of the node",
    "outcome": "`ok`, `refused` (does not fit this model), `client_error` (wrong for any model) or `server_error`",
    "process": "a value of its own in every process of a server; within one, a counter never falls",
    "prompt": "the upper end of the bucket of the prompt's length, in tokens; `+Inf` beyond the last",
    "program": "`server`, `compressor` or `trainer`",
    "reason": "[the reason](reasons.md); of finished requests `stop`, `length`, `time`, `cancelled` or `error`",
    "result": "`agree` or `disagree`",
    "revision": "the name of the revision",
    "server_version": "the version of the server",
    "source_digest": "the digest of the source",
    "state": "`stable`, `candidate`, `offline`, `failed`, `unsupported` or `setAside`; of a cache `used` or `reserved`",
    "status": "the HTTP status of the answer; 0 without one",
    "variant": "the name of the variant",
    "verb": "the verb of the request",
    "verdict": "`Pass`, `Fail` or `Inconclusive`",
    "version": "the version of the operator",
    "warm_up": "`true` on what was counted in the warm-up; later requests lack the label",
}


@dataclass(frozen=True)
class Declared:
    """A metric as its program declares it."""

    name: str
    """The name of its series, of a histogram without ``_bucket``, ``_sum`` and ``_count``."""
    type: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def unit(self) -> str:
        """Returns the unit. Raises KeyError if UNITS lacks it."""
        fitting = [end for end in UNITS if self.name.endswith(end)]
        if not fitting:
            raise KeyError(f"UNITS lacks the unit of {self.name}")
        return UNITS[max(fitting, key=len)]


def of_the_operator() -> list[Declared]:
    """Returns the operator's metrics."""
    metrics = Metrics()
    metrics.watch_requests({})
    metrics.watch_nodes(lambda: ())
    metrics.watch_unreadable(lambda: ())
    labels = {metric._name: metric._labelnames for metric in vars(metrics).values() if hasattr(metric, "_labelnames")}
    return _declared(metrics.registry.collect(), labels)


def of_the_server() -> list[Declared]:
    """Returns the metrics of a server in its warm-up, when all series exist."""
    manifest = cast(ArtifactManifest, SimpleNamespace(artifact_digest="", source_digest=""))
    model = ModelMetrics(Identity(*[""] * len(contract.IDENTITY_LABELS)), manifest, None)
    model.tokens = TokenMetrics()
    model.tokens.record_first_token(1, 1.0)
    return _declared(Exposition(lambda: [model]).collect(), {})


def _declared(families: Iterable[Any], labels: Mapping[str, Iterable[str]]) -> list[Declared]:
    made = []
    for family in families:
        total = "_total" if family.type == "counter" else ""
        named = dict.fromkeys(labels.get(family.name, getattr(family, "_labelnames", ())))
        named |= dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
        made.append(Declared(family.name + total, family.type, tuple(named), family.documentation))
    return sorted(made, key=lambda metric: metric.name)


def _explained() -> dict[str, str]:
    """Returns the docstrings of the contract by the name of the metric, in Markdown."""
    found: dict[str, str] = {}
    body = ast.parse(inspect.getsource(contract)).body
    for node, after in pairwise(body):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        value = getattr(contract, node.targets[0].id)
        if isinstance(value, str) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[value] = _markdown(str(after.value.value))
    return found


def _markdown(text: str) -> str:
    values = {name: value for name, value in vars(contract).items() if name.isupper()}
    for name in sorted(values, key=len, reverse=True):
        value = values[name]
        shown = f"`{value}`" if isinstance(value, str | int) else ", ".join(f"`{item}`" for item in value)
        text = text.replace(f"``{name}``", name).replace(name, shown)
    return " ".join(text.replace("``", "`").split())


def _body() -> Iterator[str]:
    yield (
        "Of a histogram, the series end in `_bucket`, `_sum` and `_count`. A number of things has them as its unit. "
        "A series exists once there is something to count.\n\n"
        "- [The operator](#the-operator)\n- [The inference server](#the-inference-server)\n- [Labels](#labels)\n"
    )
    operator, server, explained = of_the_operator(), of_the_server(), _explained()
    yield from _section(
        "The operator", "Port 8080 (`http`) of the operator's pod and of its Service, path `/metrics`.", operator, {}
    )
    where = "The port of the server, path `/metrics`: that of `spec.serving.port`, 8080 by default."
    yield from _section("The inference server", where, server, explained)
    yield "\n## Labels\n\n| label | value |\n|---|---|\n"
    for label in sorted({label for metric in (*operator, *server) for label in metric.labels}):
        yield f"| `{label}` | {cell(LABELS[label])} |\n"


def _section(title: str, where: str, metrics: list[Declared], explained: Mapping[str, str]) -> Iterator[str]:
    yield f"\n## {title}\n\n{where}\n\n| metric | type | unit |\n|---|---|---|\n"
    yield from (
        f"| [`{metric.name}`](#{heading_anchor(metric.name)}) | {metric.type} | {metric.unit} |\n" for metric in metrics
    )
    for metric in metrics:
        yield f"\n### {metric.name}\n\n{metric.meaning}\n\n"
        yield f"{explained[metric.name]}\n\n" if metric.name in explained else ""
        yield f"- Type: {metric.type}\n- Unit: {metric.unit}\n"
        if metric.labels:
            yield f"- Labels: {', '.join(f'`{label}`' for label in metric.labels)}\n"


PAGE = Page("metrics", "Metrics", "the metrics of the operator and of the inference server", _body)
