"""The extent of the quick tier: ``make check`` runs tests of generated examples on fewer of them."""

import os
from typing import Final

QUICK_VARIABLE: Final = "EDGEMODEL_QUICK_TESTS"
"""The variable that ``make check`` sets; ``make unit`` and ``make test`` do not."""
_SHARE: Final = 16
_MIN_EXAMPLES: Final = 2


def examples(number: int) -> int:
    """Returns how many generated examples a test runs now, which runs ``number`` of them in ``make test``."""
    return max(_MIN_EXAMPLES, number // _SHARE) if is_quick() else number


def is_quick() -> bool:
    """Returns whether only quick tests run."""
    return bool(os.environ.get(QUICK_VARIABLE))
