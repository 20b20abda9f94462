"""The page of reasons, from ``edgemodel.reasons``, the types of checks, and the places in the code that use each."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from docs.reference_pages.page import ROOT, Page, cell
from edge_operator.decide.analysis import CHECKS
from edgemodel import reasons
from edgemodel.reasons import REASONS, Kind, Reason, Topic, anchor_of

WHO = {
    Kind.STALLED: "you act",
    Kind.TRANSIENT: "it retries",
    Kind.PROGRESS: "it goes on",
    Kind.STEADY: "done",
}
KINDS = {
    Kind.STALLED: "Stalled: a person must act.",
    Kind.TRANSIENT: "Transient: the operator retries by itself, and goes on when it can.",
    Kind.PROGRESS: "Progress: the operator is at work.",
    Kind.STEADY: "Steady: nothing is left to do.",
}
WITH_READY = {
    Kind.STALLED: "conditions `Ready` (False) and `Stalled`, event (Warning)",
    Kind.TRANSIENT: "conditions `Ready` (False) and `Reconciling`, event (Normal)",
    Kind.PROGRESS: "conditions `Ready` (False) and `Reconciling`, event (Normal)",
    Kind.STEADY: "condition `Ready` (True), event (Normal)",
}

READY = "Ready"
JUDGED = "judged"
ARTIFACT = "condition `ArtifactReady`"
CHECK = "`status.checks`"
PREFLIGHT = "`status.preflight.classes`"
REJECTED = "`status.rejectedRevisions`, and the message of `RolledBack`"
FAILED = "the failure of a node: messages of `RolledBack` and `NodesFailed`, `status.rejectedRevisions`"
ENDED = "termination message of a server or of a preflight Job"
COMMAND = "message of the command `edgemodel`"
LOG = "the operator's log"

PLACES: Mapping[str, tuple[str, ...]] = {
    "edge_cli": (COMMAND,),
    "edge_compressor": (READY, ARTIFACT, COMMAND),
    "edge_compressor/gate": (READY, ARTIFACT, CHECK, COMMAND),
    "edge_operator/cluster_cache": (READY,),
    "edge_operator/decide/analysis": (JUDGED,),
    "edge_operator/decide/artifact": (READY, ARTIFACT),
    "edge_operator/decide/pass_context.py": (READY,),
    "edge_operator/decide/kept_objects.py": ("`status.reason` of the EdgeModelRevision",),
    "edge_operator/decide/observation.py": (READY,),
    "edge_operator/decide/obstacles.py": (READY,),
    "edge_operator/decide/placement/node_health.py": (FAILED,),
    "edge_operator/decide/placement/selection.py": (READY,),
    "edge_operator/decide/preflight": (PREFLIGHT,),
    "edge_operator/decide/preflight/preflight.py": (READY,),
    "edge_operator/decide/refused_pods.py": (READY,),
    "edge_operator/decide/rollout": (READY,),
    "edge_operator/decide/rollout/trial.py": (FAILED,),
    "edge_operator/decide/status/counts.py: available": ("condition `Available`",),
    "edge_operator/decide/status/counts.py: nodes_pending": ("condition `NodesPending`",),
    "edge_operator/decide/status/steady_state.py": (READY,),
    "edge_operator/decide/status/whole.py": ("condition `LatencyUnverified`",),
    "edge_operator/from_api/events.py": (READY,),
    "edge_operator/from_api/image_pull.py": (FAILED,),
    "edge_operator/from_api/jobs.py": (READY, ARTIFACT, PREFLIGHT),
    "edge_operator/from_api/kubelet.py": (FAILED,),
    "edge_operator/from_api/server_pods.py": (FAILED,),
    "edge_operator/job_endpoints": (LOG,),
    "edge_operator/settings.py": (LOG,),
    "edge_runtime": (FAILED, ENDED, COMMAND),
    "inference_server": (FAILED, ENDED, COMMAND),
}
"""The places that a reason appears on, by the part of the code that uses its constant: the longest prefix counts.

READY and JUDGED depend on the kind of the reason.
"""

OF_A_CHECK = {Kind.STALLED: (CHECK, REJECTED), Kind.TRANSIENT: (READY, CHECK), Kind.PROGRESS: (CHECK,)}
"""The places of JUDGED: a check fails, holds the wave, or holds nothing."""
ORDER = (READY, ARTIFACT, CHECK, PREFLIGHT, REJECTED, FAILED, ENDED, COMMAND, LOG)


def every_reason() -> dict[str, Reason]:
    """Returns every reason by its word: those of the project, and those that a type of check declares itself."""
    return {**REASONS, **{check.fails_with.word: check.fails_with for check in CHECKS.values()}}


def appears_on(reason: Reason) -> tuple[str, ...]:
    """Returns the places where ``reason`` appears. Raises KeyError if PLACES lacks a part of the code that uses it."""
    named = {place for use in _uses().get(reason.word, ()) for place in PLACES[_longest_prefix(use)]}
    found = (named - {JUDGED}) | set(OF_A_CHECK[reason.kind] if JUDGED in named else ())
    ordered = sorted(found, key=lambda place: (ORDER.index(place) if place in ORDER else len(ORDER), place))
    return tuple(WITH_READY[reason.kind] if place == READY else place for place in ordered)


def _longest_prefix(use: str) -> str:
    fitting = [prefix for prefix in PLACES if use == prefix or use.startswith((f"{prefix}/", f"{prefix}:"))]
    if not fitting:
        raise KeyError(f"PLACES does not say what a reason used in {use} appears on")
    return max(fitting, key=len)


@cache
def _uses() -> Mapping[str, frozenset[str]]:
    """Returns, by word, the ``file: function`` of each use of its constant."""
    found: dict[str, set[str]] = {}
    for folder in (ROOT / "operator", ROOT / "inference_server"):
        base = folder if folder.name == "operator" else ROOT
        for path in sorted(folder.rglob("*.py")):
            if path.name != "reasons.py":
                for function, word in _constants(path):
                    found.setdefault(word, set()).add(f"{path.relative_to(base).as_posix()}: {function}")
    return {word: frozenset(uses) for word, uses in found.items()}


def _constants(path: Path) -> Iterator[tuple[str, str]]:
    """Yields (outermost function, word) of each use of a reason's constant, by name or as ``reasons.NAME``."""
    tree = ast.parse(path.read_text())
    imported = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "edgemodel.reasons"
        for alias in node.names
    }
    for outer in tree.body:
        for node in ast.walk(outer):
            name = None
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "reasons":
                name = node.attr
            elif isinstance(node, ast.Name):
                name = imported.get(node.id)
            word = getattr(reasons, name, None) if name is not None and name.isupper() else None
            if isinstance(word, str):
                yield getattr(outer, "name", ""), word


def _body() -> Iterator[str]:
    yield (
        "The word of a reason stands in the conditions of an EdgeModel and in its events; the message beside it has "
        "the details. The link of a reason is this page with its word in lower case as the anchor, such as "
        "`reasons.md#rolledback`; it stays as long as the reason does.\n\n"
    )
    yield "| who acts | kind |\n|---|---|\n"
    yield from (f"| {WHO[kind]} | {text} |\n" for kind, text in KINDS.items())
    for topic in Topic:
        yield f"\n## {topic}\n\n| reason | who acts | meaning |\n|---|---|---|\n"
        chosen = [reason for reason in every_reason().values() if reason.topic is topic]
        for reason in chosen:
            yield f"| [{reason.word}](#{anchor_of(reason.word)}) | {WHO[reason.kind]} | {cell(reason.meaning)} |\n"
        for reason in chosen:
            yield from _entry(reason)


def _entry(reason: Reason) -> Iterator[str]:
    yield f"\n### {reason.word}\n\n{reason.meaning}\n\n"
    yield f"- Remedy: {reason.remedy}\n"
    yield f"- {KINDS[reason.kind]}\n"
    if places := appears_on(reason):
        yield f"- Appears on: {'; '.join(places)}.\n"


PAGE = Page("reasons", "Reasons", "what each reason means, and what to do", _body)
