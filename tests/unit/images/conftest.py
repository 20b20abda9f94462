"""The registry of the tests of images."""

from tests.unit.edge_oci.conftest import registry

__all__ = ["registry"]
