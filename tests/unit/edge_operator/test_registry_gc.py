"""Old artifacts are deleted from the real registry, which runs with the chart's configuration; users' own images
stay."""

import asyncio
import logging
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_oci import (
    Descriptor,
    Platform,
    RegistryNotFound,
    Repository,
    delete_manifest,
    get_manifest,
    list_repositories,
    list_tags,
    push_artifact,
    push_image,
    push_index,
    resolve,
    write_layer,
)
from edge_operator.cluster import Cluster
from edge_operator.cluster_cache import ClusterCache
from edge_operator.decide.artifact.registry_gc import GRACE_SECONDS
from edge_operator.job_endpoints.registry_tokens import Signer, make_keys
from edge_operator.prometheus import PrometheusSettings
from edge_operator.registry_gc import RegistryGarbageCollector, registry
from edge_operator.settings import ProcessSettings
from edgemodel.digest import digest_of_file
from edgemodel.names import (
    ANNOTATION_ARTIFACT,
    ANNOTATION_FREED,
    ANNOTATION_TO_FREE,
    API_VERSION,
    CHECKPOINT_TYPE,
    LABEL_MODEL,
    artifact_tag,
    checkpoint_tag,
)
from tests.support.registry import program
from tests.support.revisions import revision_spec
from tests.support.simulation import SETTINGS
from tests.unit.chart import registry_program

PLATFORMS = (Platform("linux", "amd64"), Platform("linux", "arm64"))
MARK = {ANNOTATION_ARTIFACT: "sha256:" + "0" * 64}

PROMETHEUS = PrometheusSettings("http://prometheus.example:9090")


class OneDeployment(Cluster):
    """An API server with the registry's Deployment."""

    def __init__(self) -> None:
        super().__init__(None)
        self.deployment: dict[str, Any] = {"metadata": {}, "spec": {"template": {"metadata": {}}}}

    async def get(self, *_: str) -> dict[str, Any]:
        return self.deployment

    async def merge(self, *arguments: Any) -> dict[str, Any]:
        self.deployment = merged(self.deployment, arguments[-1])
        return self.deployment

    @property
    def annotations(self) -> dict[str, str]:
        return dict(self.deployment["metadata"].get("annotations") or {})

    @property
    def restarts(self) -> dict[str, str]:
        return dict(self.deployment["spec"]["template"]["metadata"].get("annotations") or {})


def merged(value: Any, patch: Any) -> Any:
    """Returns the value after a merge patch of RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    whole = {**(value or {}), **{key: merged((value or {}).get(key), item) for key, item in patch.items()}}
    return {key: item for key, item in whole.items() if item is not None}


class Bench:
    """The registry with a collector, a cache and a clock."""

    def __init__(self, host: str, signer: Signer, scratch: Path) -> None:
        self.host, self.scratch = registry(host, signer), scratch
        self.cluster, self.now = OneDeployment(), 0.0
        self.cache = ClusterCache(SETTINGS, lambda key: None)
        decisions = replace(SETTINGS, registry_push=host)
        config = ProcessSettings("system", "me", decisions, False, PROMETHEUS, registry_deployment="em-registry")
        self.collector = RegistryGarbageCollector(self.cluster, self.cache, signer, config, clock=lambda: self.now)

    def repository(self, name: str) -> Repository:
        return Repository(self.host, name)

    def publish(self, content: bytes, *, repository: str = "vision/defects", tag: str = "", mark: bool = True) -> str:
        """Pushes an image for two platforms like the compressor, and returns its digest."""
        where, notes = self.repository(repository), MARK if mark else {}
        layer = write_layer({"/model/model.onnx": content}, self.scratch / "layer", compression="gzip")
        images: dict[Platform, Descriptor] = {
            platform: push_image(where, platform.to_json(), [layer], annotations=notes) for platform in PLATFORMS
        }
        tag = tag or artifact_tag(content.hex()[:16].ljust(16, "0"), "default")
        return push_index(where, images, annotations=notes, tag=tag).digest

    def keep(self, epochs: int, content: bytes, *, kind: str = CHECKPOINT_TYPE) -> str:
        """Pushes a checkpoint like a training, and returns its digest."""
        file = self.scratch / "state"
        file.write_bytes(content)
        tag = checkpoint_tag("0" * 32, epochs, digest_of_file(file))
        return push_artifact(self.repository("vision/defects"), {"state": file}, artifact_type=kind, tag=tag).digest

    def see_revision(self, name: str, digest: str) -> dict[str, Any]:
        spec = revision_spec({"default": f"vision/defects@{digest}"})
        raw = self._raw(API_VERSION, "EdgeModelRevision", name) | {"spec": spec}
        self.cache.see(raw)
        return raw

    def see_job(self, *conditions: str) -> None:
        status = {"conditions": [{"type": c, "status": "True", "lastTransitionTime": TIME} for c in conditions]}
        raw = self._raw("batch/v1", "Job", "defects-1") | {"status": status}
        raw["metadata"]["resourceVersion"] = str(2 + len(conditions))
        self.cache.see(raw)

    async def collect(self, *, after: float = 0.0) -> None:
        self.now += after
        await self.collector.collect()

    def holds(self, digest: str, repository: str = "vision/defects") -> bool:
        try:
            resolve(self.repository(repository), digest)
        except RegistryNotFound:
            return False
        return True

    def _raw(self, api_version: str, kind: str, name: str) -> dict[str, Any]:
        meta = {"namespace": "vision", "name": name, "uid": name, "resourceVersion": "1", "creationTimestamp": TIME}
        return {"apiVersion": api_version, "kind": kind, "metadata": meta | {"labels": {LABEL_MODEL: "defects"}}}


TIME = "2026-03-01T12:00:00Z"


@pytest.fixture
def moved(tmp_path: Path) -> dict[str, str]:
    return {"/etc/edgemodel-registry/keys/tls.crt": str(tmp_path / "tls.crt")}


@pytest.fixture
def bench(folder: Path, moved: dict[str, str], tmp_path: Path) -> Iterator[Bench]:
    key, certificate = make_keys()
    (tmp_path / "tls.crt").write_bytes(certificate)
    with registry_program.serve(folder, "push.yml", moved) as url:
        yield Bench(url.removeprefix("http://"), Signer(key, certificate), tmp_path)


@pytest.mark.lab_programs
async def test_the_manifests_of_an_image_that_no_revision_names_are_deleted(bench: Bench) -> None:
    old, kept = bench.publish(b"old"), bench.publish(b"kept")
    below = [entry["digest"] for entry in get_manifest(bench.repository("vision/defects"), old).content["manifests"]]
    gone = bench.see_revision("defects-1", old)
    bench.see_revision("defects-2", kept)
    await bench.collect()
    bench.cache.forget(gone)
    await bench.collect(after=1)
    assert bench.holds(old)
    await bench.collect(after=GRACE_SECONDS)
    assert [bench.holds(digest) for digest in (old, *below)] == [False, False, False]
    assert bench.holds(kept)
    assert list_tags(bench.repository("vision/defects")) == [artifact_tag(b"kept".hex().ljust(16, "0"), "default")]


@pytest.mark.lab_programs
async def test_images_of_users_stay(bench: Bench, tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(b"a source")
    artifact = push_artifact(
        bench.repository("vision/sources"), {"model.onnx": source}, artifact_type="application/onnx", tag="v1"
    )
    named_alike = push_artifact(
        bench.repository("vision/defects"), {"m": source}, artifact_type="application/x", tag="0123456789abcdef-default"
    )
    own = bench.publish(b"own", tag="v1")
    unmarked = bench.publish(b"unmarked", mark=False)
    await bench.collect()
    await bench.collect(after=2 * GRACE_SECONDS)
    assert bench.holds(artifact.digest, "vision/sources")
    assert all(bench.holds(digest) for digest in (named_alike.digest, own, unmarked))
    assert bench.cluster.annotations == {}


@pytest.mark.lab_programs
async def test_what_a_running_job_pushed_stays_until_its_revision_names_it(bench: Bench) -> None:
    bench.see_job()
    pushed = bench.publish(b"first variant")
    for _ in range(3):
        await bench.collect(after=GRACE_SECONDS)
    bench.see_job("Complete")
    await bench.collect(after=1)
    bench.see_revision("defects-1", pushed)
    await bench.collect(after=GRACE_SECONDS)
    assert bench.holds(pushed)


@pytest.mark.lab_programs
async def test_the_checkpoints_of_a_training_stay_while_its_job_runs_and_are_all_deleted_afterwards(
    bench: Bench, folder: Path, moved: dict[str, str]
) -> None:
    where = bench.repository("vision/defects")
    published = bench.publish(b"artifact")
    bench.see_revision("defects-1", published)
    bench.see_job()
    # Two attempts that came to different states after the same epoch, all of them between two sweeps.
    kept = [bench.keep(1, b"one"), bench.keep(2, b"two"), bench.keep(1, b"another")]
    await bench.collect(after=1)
    await bench.collect(after=2 * GRACE_SECONDS)
    assert all(bench.holds(digest) for digest in kept)
    before = blobs(folder)
    bench.see_job("Complete")
    await bench.collect(after=1)
    await bench.collect(after=GRACE_SECONDS - 1)
    assert all(bench.holds(digest) for digest in kept)
    await bench.collect(after=1)
    assert not any(bench.holds(digest) for digest in kept)
    assert len(list_tags(where)) == 1
    assert bench.holds(published)
    collect_garbage(folder, moved)
    assert len(before) - len(blobs(folder)) == 7  # three states, their manifests, and the empty configuration of all


@pytest.mark.lab_programs
async def test_images_that_only_look_like_checkpoints_stay(bench: Bench) -> None:
    users = bench.keep(1, b"a model of a user's", kind="application/onnx")
    await bench.collect()
    await bench.collect(after=2 * GRACE_SECONDS)
    assert bench.holds(users)


@pytest.mark.lab_programs
async def test_the_registry_restarts_once_after_a_deletion_and_frees_the_bytes(
    bench: Bench, folder: Path, moved: dict[str, str]
) -> None:
    kept = bench.publish(b"kept")
    bench.publish(b"old" * 100_000)
    bench.see_revision("defects-1", kept)
    bench.see_job()
    await bench.collect()
    assert bench.cluster.restarts == {}
    bench.see_job("Complete")
    await bench.collect(after=1)
    await bench.collect(after=GRACE_SECONDS)
    assert set(bench.cluster.restarts) == {ANNOTATION_FREED}
    assert bench.cluster.annotations == {}
    before = blobs(folder)
    collect_garbage(folder, moved)
    assert len(before) - len(blobs(folder)) == 6  # a layer, two configurations, two manifests and the index
    assert bench.holds(kept)


@pytest.mark.lab_programs
async def test_a_second_restart_waits_for_the_next_day_and_for_the_end_of_jobs(bench: Bench) -> None:
    bench.publish(b"old")
    await bench.collect()
    await bench.collect(after=GRACE_SECONDS)
    first = bench.cluster.restarts
    bench.publish(b"older")
    await bench.collect(after=1)
    await bench.collect(after=GRACE_SECONDS)
    assert bench.cluster.restarts == first
    assert ANNOTATION_TO_FREE in bench.cluster.annotations
    yesterday = {ANNOTATION_FREED: "2026-03-01T12:00:00Z"}
    bench.cluster.deployment["spec"]["template"]["metadata"]["annotations"] = yesterday
    bench.see_job()
    await bench.collect(after=1)
    assert bench.cluster.restarts == yesterday
    bench.see_job("Failed")
    await bench.collect(after=1)
    assert bench.cluster.restarts != yesterday


@pytest.mark.lab_programs
async def test_an_annotation_that_is_no_time_does_not_prevent_a_restart(bench: Bench) -> None:
    bench.publish(b"old")
    await bench.collect()
    await bench.collect(after=GRACE_SECONDS)
    edited = {ANNOTATION_FREED: "never"}
    bench.cluster.deployment["spec"]["template"]["metadata"]["annotations"] = edited
    bench.publish(b"older")
    await bench.collect(after=1)
    await bench.collect(after=GRACE_SECONDS)
    assert bench.cluster.restarts[ANNOTATION_FREED] != "never"


@pytest.mark.lab_programs
async def test_a_deletion_that_broke_off_is_brought_to_its_end(
    bench: Bench, folder: Path, moved: dict[str, str]
) -> None:
    where, old = bench.repository("vision/defects"), bench.publish(b"old")
    below = [entry["digest"] for entry in get_manifest(where, old).content["manifests"]]
    delete_manifest(where, below[0])
    collect_garbage(folder, moved)  # the registry started again in between
    await bench.collect()
    await bench.collect(after=GRACE_SECONDS)
    assert not any(bench.holds(digest) for digest in (old, *below))
    assert list_tags(where) == []


async def test_a_registry_that_does_not_answer_is_retried_at_the_next_sweep(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    away = Bench("127.0.0.1:9", Signer(*make_keys()), tmp_path)
    with caplog.at_level(logging.WARNING):
        await away.collect()
    assert "old artifacts stay for now" in caplog.text


@pytest.mark.lab_programs
async def test_the_catalog_is_listed_with_a_token_of_the_operator(bench: Bench) -> None:
    bench.publish(b"one", repository="vision/defects")
    bench.publish(b"two", repository="audio/words")
    assert await asyncio.to_thread(list_repositories, bench.host) == ["audio/words", "vision/defects"]


def collect_garbage(folder: Path, moved: dict[str, str]) -> None:
    """Collects garbage, as the registry's pod does before it starts."""
    file = registry_program.configuration(folder, "push.yml", moved)
    subprocess.run([program(), "garbage-collect", file], check=True, capture_output=True)


def blobs(folder: Path) -> set[str]:
    return {path.parent.name for path in (folder / "docker/registry/v2/blobs").glob("sha256/*/*/data")}
