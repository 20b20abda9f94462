"""What users may write, and what they are told when they may not.

``manifests/good`` holds manifests that a real API server accepts. Each of ``manifests/bad`` has one mistake; its lines
that begin with ``#!`` are the whole of the answer. The first line of every file says what it is about.
"""

from pathlib import Path

import pytest

from tests.contract.cluster import Cluster, Object, Refused
from tests.support import manifests

HERE = Path(__file__).parent / "manifests"
GOOD = sorted((HERE / "good").glob("*.yaml"))
BAD = sorted((HERE / "bad").glob("*.yaml"))

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("definitions")]


def manifest(path: Path, namespace: str) -> Object:
    item = manifests.read(path.read_text())
    return {**item, "metadata": {**item["metadata"], "namespace": namespace}}


def expected_answer(path: Path) -> list[str]:
    return [line.removeprefix("#! ") for line in path.read_text().splitlines() if line.startswith("#! ")]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_accepted(cluster: Cluster, namespace: str, path: Path) -> None:
    item = manifest(path, namespace)
    created = cluster.create(item, dryRun="All")
    assert contains(created["spec"], item["spec"]), "a field was dropped or changed"


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_refused_with_a_reason(cluster: Cluster, namespace: str, path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        cluster.create(manifest(path, namespace), dryRun="All")
    assert refusal.value.causes == expected_answer(path)


def test_there_are_enough_of_them() -> None:
    assert len(GOOD) >= 20
    assert len(BAD) >= 60
    assert all(expected_answer(path) for path in BAD)


def contains(whole: object, part: object) -> bool:
    """Whether everything in ``part`` is in ``whole``; defaults may have come on top."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and contains(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(contains, whole, part))
    return whole == part
