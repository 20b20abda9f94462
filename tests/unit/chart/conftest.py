from pathlib import Path
from typing import Any

import pytest

from tests.support import manifests
from tests.unit.chart.rendering import Object, render

CASES = sorted((Path(__file__).parent / "values").glob("*.yaml"))


@pytest.fixture(params=CASES, ids=lambda path: path.stem, scope="session")
def values(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Returns the values of one case; each file of values/ is one."""
    return dict(manifests.read(request.param.read_text()))


@pytest.fixture(scope="session")
def objects(values: dict[str, Any]) -> list[Object]:
    """Returns the chart's objects with these values."""
    return render(values)
