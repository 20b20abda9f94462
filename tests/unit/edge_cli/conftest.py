"""The models and registries of the compressor's tests, for the verbs that compress and push."""

from tests.unit.edge_compressor.conftest import locked_registry, perceptron, registry, residual

__all__ = ["locked_registry", "perceptron", "registry", "residual"]
