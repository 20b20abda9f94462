"""The report of a preflight Job, in the termination message of its container: how the artifact ran on a node.

The Job measures and does not judge: the operator has the limits. The kubelet keeps the *last* 4,096 bytes of a longer
message, so ``encode`` shortens long texts, and never the facts.
"""

import json
from dataclasses import asdict, dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from edgemodel.json_text import parse_json
from edgemodel.plain import from_plain
from edgemodel.report import MAX_BYTES, shorten

MAX_TEXT = 1000
MAX_DEVICES = 8
MAX_SETS = 32
"""The limit of reported instruction sets; no processor has as many of those that the server looks for."""


@dataclass(frozen=True)
class GoldenAgreement:
    """The agreement of the node's answers with the golden set."""

    agree: int
    items: int
    min_percent: str
    """The share that the artifact demands, a decimal string in 0..100."""


@dataclass(frozen=True)
class LatencyPercentiles:
    """The latency of single consecutive runs with the server's settings, in milliseconds, as decimal strings."""

    p50_milliseconds: str
    p95_milliseconds: str
    runs: int


@dataclass(frozen=True)
class Measurement:
    """The measurement of a loaded model. ``agreement`` and ``latency`` are None if the artifact has no golden set."""

    agreement: GoldenAgreement | None
    latency: LatencyPercentiles | None
    cpu: str = ""
    """The name of the processor; empty if it has none."""
    instruction_sets: tuple[str, ...] = ()
    """The instruction sets that a quantized model's speed or answers may depend on, as /proc/cpuinfo names them."""
    placed: tuple[str, ...] = ()
    """The devices that run a part of the model, as its runtime names them, each with the number of its nodes if the
    runtime counts them, such as ``EdgeTpuDelegate (61 nodes)``."""


@dataclass(frozen=True)
class Incompatible:
    """The artifact cannot be served on the node, and another try would not help; ``reason`` is a word of
    ``edgemodel.reasons``."""

    reason: str
    message: str


PreflightReport = Measurement | Incompatible


def encode(report: PreflightReport) -> bytes:
    """Returns at most MAX_BYTES of JSON."""
    if isinstance(report, Incompatible):
        value: dict[str, Any] = {"reason": report.reason, "message": shorten(report.message, MAX_TEXT // 2)}
    else:
        value = asdict(_shortened(report))
    data = json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()
    assert len(data) <= MAX_BYTES, f"{len(data)} bytes"
    return data


def decode(data: str | bytes) -> PreflightReport | None:
    """Returns the report in a termination message.

    None if it holds none (a crash leaves a traceback or nothing), or one with numbers that nothing can have measured.
    """
    try:
        value = parse_json(data)
        if "reason" in value:
            return from_plain(Incompatible, value, "report")
        measured = from_plain(Measurement, value, "report")
        return _shortened(measured) if _is_possible(measured) else None
    except (ValueError, TypeError):
        return None


def _shortened(report: Measurement) -> Measurement:
    """Returns the report with texts that fit the message, and the status that shows them."""
    return replace(
        report,
        cpu=shorten(report.cpu, 100),
        instruction_sets=tuple(shorten(name, 32) for name in report.instruction_sets[:MAX_SETS]),
        placed=tuple(shorten(name, 64) for name in report.placed[:MAX_DEVICES]),
    )


def _is_possible(measured: Measurement) -> bool:
    agreement, latency = measured.agreement, measured.latency
    if agreement is not None:
        counted = 0 <= agreement.agree <= agreement.items and agreement.items > 0
        if not counted or not 0 <= _number(agreement.min_percent) <= 100:
            return False
    if latency is not None:
        times = (_number(latency.p50_milliseconds), _number(latency.p95_milliseconds))
        return latency.runs > 0 and all(time >= 0 for time in times)
    return True


def _number(text: str) -> Decimal:
    """Returns the finite number in ``text``. Raises ValueError."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"{text!r} is not a number")
    return number
