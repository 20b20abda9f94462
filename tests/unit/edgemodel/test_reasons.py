"""The reasons: each has a meaning and a remedy, is used, and is used according to its kind."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from edgemodel import reasons
from edgemodel.reasons import REASONS, Kind, Reason

ROOT = Path(__file__).resolve().parents[3]
CODE = [path for folder in ("operator", "inference_server") for path in sorted((ROOT / folder).rglob("*.py"))]
DECLARED = {name: word for name, word in vars(reasons).items() if name.isupper() and isinstance(word, str)}

KINDS_OF_CALL = {
    "Stalled": {Kind.STALLED},
    "Transient": {Kind.TRANSIENT},
    "words.stalled": {Kind.STALLED},
    "words.reconciling": {Kind.PROGRESS, Kind.TRANSIENT},
    "words.ready": {Kind.STEADY},
}
"""The kinds of reason for each call that takes one."""

EXCEPTIONS = {
    ("operator/edge_compressor/registries/embedded.py", "REGISTRY_UNREACHABLE"): (
        "a command on somebody's own machine is not tried again by itself"
    ),
}
"""The exceptions, by (file, reason) -> why its kind differs from that of the call."""

WORDS_OF_OTHERS = {
    "DeadlineExceeded": "Kubernetes' reason of a Job and of a pod",
    "DigestMismatch": "the name of an exception, which its package exports",
    "LatencyUnverified": "the type of a condition, too",
    "NodeLost": "Kubernetes' reason of a pod",
    "Published": "an outcome of a compression Job's report, too",
    "Unschedulable": "Kubernetes' reason of a pod",
}
"""The words that other programs write, too, and that may occur in the code for that reason."""


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
def test_every_reason_has_a_meaning_and_a_remedy_in_whole_sentences(reason: Reason) -> None:
    for text in (reason.meaning, reason.remedy):
        assert re.match(r"[A-Z]|spec\.", text), text
        assert text.endswith("."), text
        assert "|" not in text, "it would end a cell of the table"
    if reason.kind is Kind.STALLED:
        assert len(reason.remedy.split()) > 3, "who has to act is told how"


def test_every_constant_is_declared_and_spelled_as_its_word() -> None:
    assert list(DECLARED.values()) == list(REASONS)
    for name, word in DECLARED.items():
        assert word == "".join(part.capitalize() for part in name.split("_"))


def test_no_two_reasons_mean_the_same() -> None:
    assert len({reason.meaning for reason in REASONS.values()}) == len(REASONS)


def test_every_reason_is_used() -> None:
    used = {name for path in CODE if path.name != "reasons.py" for name in re.findall(r"\b[A-Z_]+\b", path.read_text())}
    assert DECLARED.keys() - used == set()


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def calls() -> Iterator[tuple[str, str, str]]:
    """Yields (file, called name, name of the reason) of each call whose first argument is ``reasons.NAME``."""
    for path in CODE:
        for node in nodes(path):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            first = node.args[0]
            if isinstance(first, ast.Attribute) and ast.unparse(first.value) == "reasons":
                called = ast.unparse(node.func)
                if called in KINDS_OF_CALL:
                    yield str(path.relative_to(ROOT)), called, first.attr


def test_reasons_are_used_according_to_their_kind() -> None:
    found = list(calls())
    assert {called for _, called, _ in found} == KINDS_OF_CALL.keys()
    wrong = {(file, name) for file, called, name in found if REASONS[DECLARED[name]].kind not in KINDS_OF_CALL[called]}
    assert wrong == EXCEPTIONS.keys()


def test_a_reason_is_named_by_its_constant_so_that_a_search_ends_where_it_is_declared() -> None:
    quoted = {
        (path.name, node.value)
        for path in CODE
        if path.name != "reasons.py"
        for node in nodes(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in REASONS
    }
    assert {word for _, word in quoted} <= WORDS_OF_OTHERS.keys(), quoted


def test_a_word_is_declared_once() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        reasons._declare("Serving", reasons.Topic.ROLLOUT, Kind.STEADY, "It serves.", "None needed.")
