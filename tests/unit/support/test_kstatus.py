"""The rules of kstatus that end-to-end tests hold every status against."""

from typing import Any

import pytest

from tests.support import kstatus
from tests.support.kstatus import CURRENT, FAILED, IN_PROGRESS, TERMINATING

GENERATION = 3


def item(observed: int | None = GENERATION, deleted: bool = False, **conditions: str) -> dict[str, Any]:
    status: dict[str, Any] = {"conditions": [{"type": kind, "status": value} for kind, value in conditions.items()]}
    if observed is not None:
        status["observedGeneration"] = observed
    return {
        "metadata": {"generation": GENERATION, **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {})},
        "status": status,
    }


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (item(Ready="True"), CURRENT),
        (item(Ready="False"), IN_PROGRESS),
        (item(Ready="Unknown"), IN_PROGRESS),
        (item(), CURRENT),
        (item(observed=None), CURRENT),
        ({"metadata": {"generation": GENERATION}}, CURRENT),
        (item(observed=GENERATION - 1, Ready="True"), IN_PROGRESS),
        (item(observed=-1), IN_PROGRESS),
        (item(observed=GENERATION - 1, Stalled="True"), IN_PROGRESS),
        (item(Ready="False", Reconciling="True"), IN_PROGRESS),
        (item(Ready="True", Reconciling="True"), IN_PROGRESS),
        (item(Ready="False", Stalled="True"), FAILED),
        (item(Ready="True", Stalled="True"), FAILED),
        (item(Reconciling="True", Stalled="True"), IN_PROGRESS),
        (item(Ready="True", Reconciling="False", Stalled="False"), CURRENT),
        (item(Ready="True", deleted=True), TERMINATING),
        (item(observed=-1, deleted=True, Stalled="True"), TERMINATING),
    ],
)
def test_an_object_is_what_the_published_rules_make_of_it(seen: dict[str, Any], expected: str) -> None:
    assert kstatus.compute(seen) == expected
