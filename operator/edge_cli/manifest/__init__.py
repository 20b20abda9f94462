"""Manifests as the API server accepts them: read as kubectl reads YAML, and validated by the schema of the CRD.

The command line has no cluster, and must still give the same result. ``schema.json`` is the schema of the CRD itself
(``python crds/sync.py`` writes it), without descriptions and without the status.
"""

from edge_cli.manifest.documents import read_documents, read_value
from edge_cli.manifest.edge_model import check_budget, check_steps, choose_edge_model, complete_edge_model

__all__ = [
    "check_budget",
    "check_steps",
    "choose_edge_model",
    "complete_edge_model",
    "read_documents",
    "read_value",
]
