"""The budget: how much accuracy an artifact may lose, how large it may be, and how long a run may take."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

DEFAULT_RELATIVE_ERROR_PERCENT: Final = Decimal(40)
"""The default limit: healthy int8 networks are off by 1 to 12 %, ruined ones by 50 % and more; see
docs/relative-error.md."""
MAX_RELATIVE_ERROR_PERCENT: Final = Decimal(300)
"""The limit that accepts every artifact that runs, since no measured error is larger."""

MAX_PERPLEXITY_PERCENT: Final = Decimal(1000)
"""The largest limit of the rise of a perplexity; a model beyond it says nothing."""


@dataclass(frozen=True)
class Budget:
    """``spec.compression.budget``. None means no limit."""

    max_accuracy_drop_percent: Decimal | None = None
    min_accuracy_percent: Decimal | None = None
    max_relative_error_percent: Decimal | None = None
    """The limit; None: DEFAULT_RELATIVE_ERROR_PERCENT, where that is meaningful (``relative_error_limit``)."""
    max_size_bytes: int | None = None
    max_latency_milliseconds: Decimal | None = None
    on_inconclusive: Literal["Stall", "Proceed"] = "Stall"
    """The action when a limit cannot be decided."""
    max_perplexity_increase_percent: Decimal | None = None
    """The limit of the rise of a decoder's perplexity, in percent of the source's."""
    min_agreement_percent: Decimal | None = None
    """The smallest share of answers that artifact and source give alike."""

    def relative_error_limit(self, *, scored: bool, keeps_function: bool) -> Decimal | None:
        """Returns the limit of the relative error of every output, in percent; None if there is none.

        The default holds only for steps that keep the function, and is replaced by a budget of accuracy that can be
        judged. ``scored`` is True if the evaluation set gives the artifact a score.
        """
        if self.max_relative_error_percent is not None:
            return self.max_relative_error_percent
        by_accuracy = (
            self.max_accuracy_drop_percent is not None
            or self.min_accuracy_percent is not None
            or self.max_perplexity_increase_percent is not None
            or self.min_agreement_percent is not None
        )
        return None if not keeps_function or (scored and by_accuracy) else DEFAULT_RELATIVE_ERROR_PERCENT

    def to_json(self) -> dict[str, Any]:
        """Returns the budget as ``parse_budget`` reads it."""

        def text(number: Decimal | None) -> str | None:
            return None if number is None else str(number)

        of_decoders = {
            "maxPerplexityIncreasePercent": text(self.max_perplexity_increase_percent),
            "minAgreementPercent": text(self.min_agreement_percent),
        }
        return {
            "maxAccuracyDropPercent": text(self.max_accuracy_drop_percent),
            "minAccuracyPercent": text(self.min_accuracy_percent),
            "maxRelativeErrorPercent": text(self.max_relative_error_percent),
            "maxSizeBytes": self.max_size_bytes,
            "maxLatencyMilliseconds": text(self.max_latency_milliseconds),
            "onInconclusive": {"action": self.on_inconclusive},
            **{key: limit for key, limit in of_decoders.items() if limit is not None},
        }


def parse_budget(value: Mapping[str, Any]) -> Budget:
    """Returns the budget of a manifest. Raises ValueError, which names the key, for an invalid one."""
    known = {
        "maxAccuracyDropPercent", "minAccuracyPercent", "maxRelativeErrorPercent", "maxPerplexityIncreasePercent",
        "minAgreementPercent", "maxSizeBytes", "maxLatencyMilliseconds", "onInconclusive",
    }  # fmt: skip
    if unknown := value.keys() - known:
        raise ValueError(f"budget has no key {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    size = value.get("maxSizeBytes")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ValueError(f"budget.maxSizeBytes is {size!r}, want a whole number of bytes, at least 1")
    return Budget(
        max_accuracy_drop_percent=_decimal(value, "maxAccuracyDropPercent", maximum=Decimal(100)),
        min_accuracy_percent=_decimal(value, "minAccuracyPercent", maximum=Decimal(100)),
        max_relative_error_percent=_decimal(value, "maxRelativeErrorPercent", maximum=MAX_RELATIVE_ERROR_PERCENT),
        max_perplexity_increase_percent=_decimal(value, "maxPerplexityIncreasePercent", maximum=MAX_PERPLEXITY_PERCENT),
        min_agreement_percent=_decimal(value, "minAgreementPercent", maximum=Decimal(100)),
        max_size_bytes=size,
        max_latency_milliseconds=_decimal(value, "maxLatencyMilliseconds", maximum=None),
        on_inconclusive=_action(value.get("onInconclusive")),
    )


def _action(value: Any) -> Literal["Stall", "Proceed"]:
    if value is None:
        return "Stall"
    if not isinstance(value, Mapping) or value.keys() - {"action"}:
        raise ValueError(f"budget.onInconclusive is {value!r}, want an action alone, such as {{action: Proceed}}")
    action: Any = value.get("action", "Stall")
    if action not in ("Stall", "Proceed"):
        raise ValueError(f"budget.onInconclusive.action is {action!r}, want Stall or Proceed")
    return "Proceed" if action == "Proceed" else "Stall"


def _decimal(value: Mapping[str, Any], key: str, *, maximum: Decimal | None) -> Decimal | None:
    text = value.get(key)
    if text is None:
        return None
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        raise ValueError(f"budget.{key} is {text!r}, want a decimal string such as '1.0'") from None
    if not number.is_finite() or number < 0 or (maximum is not None and number > maximum):
        raise ValueError(f"budget.{key} is {text}, want 0{f' to {maximum}' if maximum is not None else ' or more'}")
    return number
