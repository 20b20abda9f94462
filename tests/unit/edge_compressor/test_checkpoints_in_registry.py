"""Checkpoints in a real registry: how often they are pushed, who finds them, and the effect of the registry's
failures."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_compressor.checkpoints.registry import PUSH_SECONDS, SPREAD_BYTES, CheckpointRegistry
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_oci.client import Registries, Repository
from edge_oci.credentials import Login, StaticLogin
from edge_oci.manifests import get_manifest, list_tags
from edge_oci.references import Reference
from edge_oci.transport import Patience
from edgemodel.digest import digest_of
from edgemodel.job_input import PublishTarget
from edgemodel.names import CHECKPOINT_TYPE, checkpoint_epochs, checkpoint_tag
from tests.support.registry import RegistryProgram
from tests.unit.edge_oci import distribution, realm
from tests.unit.edge_oci.faulty import Answer, FaultyProxy, faulty

ONE, OTHER = "1" * 32, "2" * 32
ROOM = 1 << 20


@dataclass
class Attempts:
    """The attempts of one Job, each with a folder of its own, and a clock for all of them."""

    folder: Path
    repository: str
    progress: Progress
    now: float = 1000.0
    attempts: int = 0
    access: dict[str, Any] = field(default_factory=dict)

    def attempt(self, host: str) -> CheckpointRegistry:
        self.attempts += 1
        access = RegistryAccess(plain_http_hosts=(host,), patience=Patience(sleep=lambda _: None), **self.access)
        folder = self.folder / f"attempt-{self.attempts}"
        return CheckpointRegistry(
            folder, PublishTarget(host, self.repository, ""), access, self.progress, lambda: self.now
        )

    def tags(self, host: str) -> list[str]:
        return list_tags(Registries(plain_http_hosts=(host,)).repository(Reference(host, self.repository)))

    def epochs(self, host: str) -> list[int | None]:
        return sorted(checkpoint_epochs(tag, ONE) or 0 for tag in self.tags(host))

    def log(self) -> str:
        return (self.folder / "progress.log").read_text()


@pytest.fixture
def attempts(tmp_path: Path, quiet: Progress, request: pytest.FixtureRequest) -> Attempts:
    return Attempts(tmp_path, f"vision/{digest_of(request.node.nodeid.encode())[7:19]}", quiet)


@pytest.fixture
def proxy(registry: RegistryProgram) -> Iterator[FaultyProxy]:
    with faulty(registry.host) as running:
        yield running


def writes(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def keep(where: CheckpointRegistry, epochs: int, content: bytes = b"", *, key: str = ONE, last: bool = False) -> None:
    where.keep(key, epochs, writes(content or b"after epoch %d" % epochs), last=last)


def found(where: CheckpointRegistry, key: str = ONE, max_bytes: int = ROOM) -> list[bytes]:
    return [path.read_bytes() for path in where.find(key, max_bytes=max_bytes)]


def test_the_next_attempt_finds_the_farthest_checkpoint_first(attempts: Attempts, registry: RegistryProgram) -> None:
    first = attempts.attempt(registry.host)
    for epochs in (2, 9, 10):
        keep(first, epochs)
        attempts.now += 2 * PUSH_SECONDS
    assert found(attempts.attempt(registry.host)) == [b"after epoch 10", b"after epoch 9", b"after epoch 2"]


def test_a_checkpoint_in_the_folder_precedes_one_in_the_registry(attempts: Attempts, registry: RegistryProgram) -> None:
    where = attempts.attempt(registry.host)
    keep(where, 1)
    keep(where, 2)
    assert found(where) == [b"after epoch 2", b"after epoch 1"]


def test_another_training_s_checkpoint_is_not_found(attempts: Attempts, registry: RegistryProgram) -> None:
    keep(attempts.attempt(registry.host), 1)
    assert found(attempts.attempt(registry.host), OTHER) == []


def test_a_checkpoint_is_an_artifact_of_its_own_type_under_a_tag_that_names_its_content(
    attempts: Attempts, registry: RegistryProgram
) -> None:
    keep(attempts.attempt(registry.host), 1, b"one")
    keep(attempts.attempt(registry.host), 1, b"other")
    digests = [digest_of(content) for content in (b"one", b"other")]
    assert sorted(attempts.tags(registry.host)) == sorted(checkpoint_tag(ONE, 1, digest) for digest in digests)
    repository = Repository(Registries(plain_http_hosts=(registry.host,)).host(registry.host), attempts.repository)
    manifest = get_manifest(repository, attempts.tags(registry.host)[0])
    assert manifest.content["artifactType"] == CHECKPOINT_TYPE


def test_one_a_minute_is_pushed_and_the_last(attempts: Attempts, registry: RegistryProgram) -> None:
    where = attempts.attempt(registry.host)
    for epochs in range(1, 12):
        keep(where, epochs, last=epochs == 11)
        attempts.now += PUSH_SECONDS / 4
    assert attempts.epochs(registry.host) == [1, 5, 9, 11]


def test_the_longer_a_job_runs_the_rarer_a_large_checkpoint_is_pushed(
    attempts: Attempts, registry: RegistryProgram
) -> None:
    content = bytes(SPREAD_BYTES // 128 - 1)
    where = attempts.attempt(registry.host)
    attempts.now += 128 * 1000
    for epochs in range(1, 12):
        keep(where, epochs, content + bytes([epochs]))
        attempts.now += 100
    assert attempts.epochs(registry.host) == [1, 11]


def test_an_early_end_of_the_job_pushes_the_latest_checkpoint(attempts: Attempts, registry: RegistryProgram) -> None:
    where = attempts.attempt(registry.host)
    keep(where, 1)
    keep(where, 2)
    with pytest.raises(SystemExit), where:
        raise SystemExit
    assert attempts.epochs(registry.host) == [1, 2]


def test_a_job_that_ends_well_leaves_what_was_not_pushed(attempts: Attempts, registry: RegistryProgram) -> None:
    with attempts.attempt(registry.host) as where:
        keep(where, 1)
        keep(where, 2)
    assert attempts.epochs(registry.host) == [1]


def test_the_folder_holds_one_checkpoint_of_all_trainings(attempts: Attempts, registry: RegistryProgram) -> None:
    keep(attempts.attempt(registry.host), 1)
    where = attempts.attempt(registry.host)
    assert len(found(where)) == 1
    keep(where, 1, key=OTHER)
    assert [path.name for path in (attempts.folder / "attempt-2").iterdir()] == [f"{OTHER}.checkpoint"]


def test_an_unreachable_registry_does_not_stop_training_and_is_retried_a_minute_later(
    attempts: Attempts, registry: RegistryProgram, proxy: FaultyProxy
) -> None:
    where = attempts.attempt(proxy.host)
    keep(where, 1)
    attempts.now += PUSH_SECONDS
    proxy.will("PUT", "manifests", *[Answer(503)] * 5)
    keep(where, 2)
    asked = len(proxy.requests)
    keep(where, 3, last=True)
    assert len(proxy.requests) == asked
    assert attempts.epochs(registry.host) == [1]
    attempts.now += PUSH_SECONDS
    keep(where, 4)
    assert attempts.epochs(registry.host) == [1, 4]
    assert "the checkpoint after epoch 2 was not pushed: " in attempts.log()
    assert "503" in attempts.log()


def test_a_slow_registry_takes_a_tenth_of_the_time(
    attempts: Attempts, registry: RegistryProgram, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = attempts.attempt(proxy.host)
    take = proxy.take

    def slowly(method: str, path: str) -> Any:
        attempts.now += 30.0 if method == "HEAD" else 0.0
        return take(method, path)

    monkeypatch.setattr(proxy, "take", slowly)
    keep(where, 1)
    took = attempts.now - 1000.0
    assert took >= 60.0
    attempts.now += 10 * took - 1
    keep(where, 2)
    assert attempts.epochs(registry.host) == [1]
    attempts.now += 1
    keep(where, 3)
    assert attempts.epochs(registry.host) == [1, 3]


def test_a_registry_without_an_answer_has_no_checkpoint(attempts: Attempts) -> None:
    where = attempts.attempt("127.0.0.1:9")
    assert found(where) == []
    keep(where, 1)
    assert "no checkpoint of an earlier attempt was looked for" in attempts.log()
    assert found(where) == [b"after epoch 1"]


def test_more_than_the_limit_is_not_fetched(attempts: Attempts, registry: RegistryProgram) -> None:
    keep(attempts.attempt(registry.host), 1, bytes(1001))
    assert found(attempts.attempt(registry.host), max_bytes=1000) == []
    assert "has 1001 bytes, limit 1000" in attempts.log()
    assert found(attempts.attempt(registry.host), max_bytes=1001) == [bytes(1001)]


def test_a_download_with_other_bytes_is_ignored_for_the_earlier_checkpoint(
    attempts: Attempts, registry: RegistryProgram
) -> None:
    first = attempts.attempt(registry.host)
    keep(first, 1)
    attempts.now += PUSH_SECONDS
    keep(first, 2)
    with faulty(registry.host) as proxy:
        spoilt = Answer(200, {}, b"after epoch 3")
        proxy.will("GET", f"blobs/{digest_of(b'after epoch 2')}", spoilt)
        assert found(attempts.attempt(proxy.host)) == [b"after epoch 1"]
    assert "was not fetched" in attempts.log()


def test_a_registry_with_a_push_secret_takes_them(attempts: Attempts, locked_registry: RegistryProgram) -> None:
    host = locked_registry.host
    (attempts.folder / "push").mkdir()
    login = base64.b64encode(b"ann:secret").decode()
    (attempts.folder / "push" / ".dockerconfigjson").write_text(json.dumps({"auths": {host: {"auth": login}}}))
    attempts.access = {"secrets": attempts.folder}
    keep(attempts.attempt(host), 1)
    assert found(attempts.attempt(host)) == [b"after epoch 1"]
    user = StaticLogin(frozenset({host}), Login("ann", "secret"))
    registries = Registries(credentials=user, plain_http_hosts=(host,))
    assert len(list_tags(registries.repository(Reference(host, attempts.repository)))) == 1


@pytest.mark.lab_programs
def test_the_embedded_registry_s_token_is_enough(attempts: Attempts, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("vision-secret\n")
    with (
        realm.running(tmp_path, {"vision-secret": "vision"}) as (running, auth),
        distribution.running(tmp_path, auth=auth) as host,
    ):
        attempts.access = {"token_file": tmp_path / "token", "own_host": host}
        keep(attempts.attempt(host), 1)
        assert found(attempts.attempt(host)) == [b"after epoch 1"]
    asked = {scope for query in running.requests for scope in query["scope"]}
    assert asked == {f"repository:{attempts.repository}:pull", f"repository:{attempts.repository}:pull,push"}


def test_without_the_right_to_push_training_continues(attempts: Attempts, locked_registry: RegistryProgram) -> None:
    where = attempts.attempt(locked_registry.host)
    keep(where, 1)
    assert found(where) == [b"after epoch 1"]
    assert "there are no credentials" in attempts.log()
