"""The message about an image that a node cannot pull names the image, its registry, the Secrets and the remedy."""

from typing import Any

import pytest

from edge_operator.from_api.image_pull import Pull, failed_pull, registry_of
from edge_operator.from_api.jobs import read_job_pod
from edge_operator.from_api.kubelet import CONTAINER_REASONS
from edge_operator.from_api.server_pods import read_server_pod
from edgemodel import reasons

IMAGE = "registry.example:5443/vision/m@sha256:" + "a" * 64
RESOLVE = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}"'


def pulled(message: str, word: str = "ErrImagePull", image: str = IMAGE, secrets: tuple[str, ...] = ()) -> Pull:
    spec = {
        "containers": [{"name": "server", "image": image}],
        "imagePullSecrets": [{"name": name} for name in secrets],
    }
    state = {"waiting": {"reason": word, "message": message}}
    found = failed_pull({"spec": spec}, {"name": "server", "image": "other", "state": state})
    assert found is not None
    assert image in found.message
    return found


@pytest.mark.parametrize(
    ("message", "cure"),
    [
        (
            f"{RESOLVE}: unexpected status from HEAD request to https://registry.example:5443/v2/: 401 Unauthorized",
            "registry.example:5443 refuses access; the pod has no pull secret: name a Secret of type "
            "kubernetes.io/dockerconfigjson with a login for registry.example:5443 in spec.imagePullSecrets",
        ),
        (f"{RESOLVE}: pull access denied, repository does not exist or may require authorization", "refuses access"),
        (f"{RESOLVE}: failed to authorize: failed to fetch oauth token: 403 Forbidden", "refuses access"),
        (f"{RESOLVE}: {IMAGE}: not found", "registry.example:5443 has no such image"),
        (f"{RESOLVE}: no match for platform in manifest: not found", "the image is not built for this node"),
        (f"{RESOLVE}: tls: failed to verify certificate: x509: unknown authority", "does not trust the certificate"),
        (f"{RESOLVE}: http: server gave HTTP response to HTTPS client", "speaks HTTP, and the node HTTPS"),
    ],
)
def test_what_a_person_must_cure_is_final_and_names_the_cure(message: str, cure: str) -> None:
    found = pulled(message)
    assert found.is_final
    assert cure in found.message
    assert "; ErrImagePull: failed to pull" in found.message


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (f"{RESOLVE}: dial tcp: lookup registry.example on 10.43.0.10:53: no such host", "does not find the host"),
        (f"{RESOLVE}: dial tcp 192.0.2.1:5443: connect: connection refused", "does not reach registry.example:5443"),
        (f"{RESOLVE}: dial tcp 192.0.2.1:5443: i/o timeout", "does not reach registry.example:5443"),
        (f"{RESOLVE}: 429 Too Many Requests: toomanyrequests: rate limit", "limits the rate of pulls"),
        ("something that nobody has seen", "ErrImagePull: something that nobody has seen"),
        ("", "ErrImagePull"),
    ],
)
def test_what_time_may_heal_is_told_and_not_final(message: str, why: str) -> None:
    found = pulled(message)
    assert not found.is_final
    assert why in found.message


def test_the_secrets_that_did_not_help_are_named() -> None:
    assert "the Secret a must be of type" in pulled("401 Unauthorized", secrets=("a",)).message
    assert "one of the Secrets a, b must be of type" in pulled("401 Unauthorized", secrets=("a", "b")).message


def test_the_message_is_the_same_between_two_attempts_and_at_them() -> None:
    waits = pulled(
        f'Back-off pulling image "{IMAGE}": ErrImagePull: rpc error: code = NotFound desc = {RESOLVE}',
        "ImagePullBackOff",
    )
    assert waits == pulled(f"rpc error: code = NotFound desc = {RESOLVE}")


@pytest.mark.parametrize("word", [word for word, why in CONTAINER_REASONS.items() if why == reasons.IMAGE_PULL_FAILED])
def test_every_word_of_the_kubelet_is_explained_alike_for_servers_and_jobs(word: str) -> None:
    status = {"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": word, "message": "401"}}}]}
    meta: dict[str, Any] = {"name": "p", "uid": "u", "labels": {}, "creationTimestamp": "2026-01-01T00:00:00Z"}
    raw = {"metadata": meta, "spec": {"containers": [{"name": "c", "image": IMAGE}]}, "status": status}
    server, job = read_server_pod(raw), read_job_pod(raw)
    assert job.pull is not None
    assert server.trouble == (reasons.IMAGE_PULL_FAILED, job.pull.message)
    assert job.waits_for == job.pull.message
    assert word in job.waits_for


def test_a_long_message_of_a_registry_is_cut() -> None:
    assert len(pulled("<html>" * 1000).message) < 700


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("busybox", "docker.io"),
        ("team/model:1", "docker.io"),
        ("localhost/model", "localhost"),
        ("localhost:30500/vision/m", "localhost:30500"),
        ("ghcr.io/team/model@sha256:ab", "ghcr.io"),
        ("registry:5000/m", "registry:5000"),
    ],
)
def test_the_registry_of_an_image_is_read_as_the_kubelet_reads_it(image: str, registry: str) -> None:
    assert registry_of(image) == registry
