"""The budget: what an artifact may lose, weigh and take."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal


@dataclass(frozen=True)
class Budget:
    """``spec.compression.budget``. None: not limited."""

    max_accuracy_drop_percent: Decimal | None = None
    min_accuracy_percent: Decimal | None = None
    max_size_bytes: int | None = None
    max_latency_milliseconds: Decimal | None = None
    when_inconclusive: Literal["Stall", "Proceed"] = "Stall"


def parse_budget(value: Mapping[str, Any]) -> Budget:
    """Raises ValueError, naming the key, when ``value`` is not a budget."""
    known = {
        "maxAccuracyDropPercent", "minAccuracyPercent", "maxSizeBytes", "maxLatencyMilliseconds", "whenInconclusive",
    }  # fmt: skip
    if unknown := value.keys() - known:
        raise ValueError(f"budget has no key {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    size = value.get("maxSizeBytes")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ValueError(f"budget.maxSizeBytes is {size!r}, want a whole number of bytes, at least 1")
    when: Any = value.get("whenInconclusive") or "Stall"
    if when not in ("Stall", "Proceed"):
        raise ValueError(f"budget.whenInconclusive is {when!r}, want Stall or Proceed")
    return Budget(
        max_accuracy_drop_percent=_decimal(value, "maxAccuracyDropPercent", most=Decimal(100)),
        min_accuracy_percent=_decimal(value, "minAccuracyPercent", most=Decimal(100)),
        max_size_bytes=size,
        max_latency_milliseconds=_decimal(value, "maxLatencyMilliseconds", most=None),
        when_inconclusive=when,
    )


def _decimal(value: Mapping[str, Any], key: str, *, most: Decimal | None) -> Decimal | None:
    text = value.get(key)
    if text is None:
        return None
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        raise ValueError(f"budget.{key} is {text!r}, want a decimal string such as '1.0'") from None
    if not number.is_finite() or number < 0 or (most is not None and number > most):
        raise ValueError(f"budget.{key} is {text}, want 0{f' to {most}' if most is not None else ' or more'}")
    return number
