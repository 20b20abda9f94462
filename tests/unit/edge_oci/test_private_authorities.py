"""A registry with a certificate that only its owner trusts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from edge_oci import blobs, manifests
from edge_oci.client import Registries
from edge_oci.errors import Unreachable, UntrustedCertificate
from edge_oci.references import Reference
from tests.unit.edge_oci import distribution, realm
from tests.unit.edge_oci.conftest import Pauses

pytestmark = pytest.mark.lab_programs


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    (directory / "ca.pem").write_bytes(realm.pem(realm.certificate("tests", key, addresses=[here])))
    (directory / "key.pem").write_bytes(realm.pem(key))
    tls = {"certificate": str(directory / "ca.pem"), "key": str(directory / "key.pem")}
    with distribution.running(directory, tls=tls) as host:
        yield host, directory / "ca.pem"


def test_an_untrusted_certificate_is_refused_at_once(private: tuple[str, Path], pauses: Pauses) -> None:
    own = Registries(patience=pauses.patience()).repository(Reference(private[0], "tls"))
    with pytest.raises(UntrustedCertificate, match="name the certificate authority"):
        manifests.list_tags(own)
    assert not pauses.seconds


def test_a_private_authority_is_trusted_by_its_file(private: tuple[str, Path]) -> None:
    own = Registries(ca_file=private[1]).repository(Reference(private[0], "tls"))
    blob = blobs.push_blob(own, b"private")
    assert blobs.read_blob(own, blob, max_bytes=100) == b"private"


def test_https_does_not_lead_to_plain_http(private: tuple[str, Path]) -> None:
    registries = Registries(ca_file=private[1])
    own = registries.repository(Reference(private[0], "tls"))
    with pytest.raises(Unreachable, match="leads from https to http://elsewhere"):
        own.request("GET", "http://elsewhere/v2/tls/blobs/uploads/x")
