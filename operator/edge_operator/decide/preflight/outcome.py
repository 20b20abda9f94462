"""The outcome of the preflight of one hardware class: passed, failed, or unverified.

A result that concerns the artifact rejects it: too few golden items agree, or it is too slow, killed for memory, past
its deadline, crashes or cannot be pulled. Anything else leaves the class unverified, which is reported and holds
nothing up: no such node is online, none has room, or the node went away.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from edgemodel import reasons
from edgemodel.preflight_report import Measurement
from edgemodel.spec import PreflightSpec
from edgemodel.status import MAX_MESSAGE_LENGTH, ClassPreflight
from edgemodel.verdict import Verdict


def measured(asked: ClassPreflight, report: Measurement, ended: datetime) -> ClassPreflight:
    """Returns the class with the numbers of the Job that ended at ``ended``; unverified if there are none."""
    agreement, latency = report.agreement, report.latency
    on_hardware = replace(
        asked,
        cpu=report.cpu or None,
        instruction_sets=report.instruction_sets,
        placed=report.placed,
        measured_at=ended,
    )
    if agreement is None or latency is None:
        return unverified(on_hardware, "the artifact has no golden set, but can be loaded")
    return replace(
        on_hardware,
        golden_items=agreement.items,
        golden_agree=agreement.agree,
        min_percent=agreement.min_percent,
        p50_milliseconds=latency.p50_milliseconds,
        p95_milliseconds=latency.p95_milliseconds,
        runs=latency.runs,
    )


def judged(one: ClassPreflight, spec: PreflightSpec) -> ClassPreflight:
    """Returns the class with its verdict by the present limits; unchanged if nothing was measured.

    The limits may be changed while other classes are still measured.
    """
    agree, items, least = one.golden_agree, one.golden_items, one.min_percent
    if agree is None or items is None or least is None or one.p50_milliseconds is None:
        return one
    agreement = f"golden set agrees on {100 * agree / items:.6g} %, limit {least} % (n = {items})"
    limit, p50 = spec.max_latency_milliseconds, one.p50_milliseconds
    latency = f"p50 {p50} ms, {f'limit {limit} ms' if limit else 'no limit'} (n = {one.runs})"
    missed = [agreement] if 100 * agree < Decimal(least) * items else []
    missed += [latency] if limit is not None and Decimal(p50) > Decimal(limit) else []
    if missed:
        return failed(one, reasons.PREFLIGHT_FAILED, "; ".join(missed))
    return replace(one, verdict=Verdict.PASS, reason=None, message=f"{agreement}; {latency}")


def failed(one: ClassPreflight, reason: str, why: str) -> ClassPreflight:
    """Returns the class with the verdict Fail, which rejects the candidate."""
    message = f"node {one.node} ({one.name}): {why}"[:MAX_MESSAGE_LENGTH]
    return replace(one, verdict=Verdict.FAIL, reason=reason, message=message)


def unverified(one: ClassPreflight, why: str) -> ClassPreflight:
    """Returns the class with the verdict Inconclusive, which holds nothing up."""
    message = why[:MAX_MESSAGE_LENGTH]
    return replace(one, verdict=Verdict.INCONCLUSIVE, reason=reasons.LATENCY_UNVERIFIED, message=message)
