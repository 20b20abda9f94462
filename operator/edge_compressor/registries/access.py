"""Registries as the compressor uses them: the credentials for each, and the meaning of their errors for a user."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_oci import errors as oci
from edge_oci.client import Registries
from edge_oci.credentials import Credentials, DockerConfig, FirstOf, TokenFile
from edge_oci.transport import Patience
from edgemodel import reasons
from edgemodel.errors import Stalled, Transient

DOCKER_CONFIG: Final = ".dockerconfigjson"
"""The key of a Secret of type kubernetes.io/dockerconfigjson."""


@dataclass(frozen=True)
class RegistryAccess:
    """The locations of credentials, and the registries that speak plain HTTP.

    ``own_host`` is the registry that takes the token of ``token_file``; it is sent to no other.
    """

    secrets: Path | None = None
    docker_config: Path | None = None
    """Docker's config.json, for every use; None in a Job."""
    token_file: Path | None = None
    own_host: str | None = None
    plain_http_hosts: tuple[str, ...] = ()
    patience: Patience | None = None

    def registries(self, use: str) -> Registries:
        """Returns the registries for ``use``: source, calibration, evaluation, push or base. Raises edge_oci's
        InvalidCredentials."""
        sources: list[Credentials] = []
        mounted = self.secrets / use / DOCKER_CONFIG if self.secrets else None
        sources += [DockerConfig.from_file(path) for path in (mounted, self.docker_config) if path and path.exists()]
        if self.own_host and self.token_file and self.token_file.exists():
            sources.append(TokenFile(self.token_file, frozenset({self.own_host})))
        return Registries(credentials=FirstOf(sources), plain_http_hosts=self.plain_http_hosts, patience=self.patience)


@contextmanager
def pulling(what: str, *, invalid: str = reasons.SOURCE_INVALID) -> Iterator[None]:
    """Turns errors of edge_oci into those of a source; ``invalid`` is the reason for content that does not match."""
    try:
        yield
    except oci.OciError as error:
        raise _explained(error, what, _PULLING | {oci.BlobTooLarge: invalid, oci.InvalidContent: invalid}) from error


@contextmanager
def pushing(what: str) -> Iterator[None]:
    """Turns errors of edge_oci into those of publishing an artifact."""
    try:
        yield
    except oci.OciError as error:
        if error.transient:
            raise Transient(reasons.REGISTRY_UNREACHABLE, f"{what}: {error}") from error
        raise Stalled(reasons.ARTIFACT_REJECTED, f"{what}: {error}") from error


_PULLING: Final[dict[type, str]] = {
    oci.RegistryNotFound: reasons.SOURCE_NOT_FOUND,
    oci.NoSuchHost: reasons.SOURCE_NOT_FOUND,
    oci.Unauthorized: reasons.SOURCE_UNAUTHORIZED,
    oci.Denied: reasons.SOURCE_UNAUTHORIZED,
    oci.InvalidCredentials: reasons.SOURCE_UNAUTHORIZED,
    oci.DigestMismatch: reasons.DIGEST_MISMATCH,
}


def _explained(error: oci.OciError, what: str, by_type: Mapping[type, str]) -> Stalled | Transient:
    message = f"{what}: {error}"
    if error.transient:
        return Transient(reasons.SOURCE_UNREACHABLE, message)
    reason = next((by_type[kind] for kind in type(error).__mro__ if kind in by_type), reasons.SOURCE_NOT_ALLOWED)
    return Stalled(reason, message)
