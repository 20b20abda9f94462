"""The embedded registry's keys, kept in a Secret that the first operator creates."""

import asyncio
import base64
import logging

from edge_operator.cluster import ApiError, Cluster
from edge_operator.job_endpoints.registry_tokens import KEYS_SECRET, Signer, make_keys

log = logging.getLogger(__name__)


async def make_signer(cluster: Cluster, namespace: str) -> Signer:
    """Returns a signer with the registry's keys. Creates them if there are none: the registry's pod waits for their
    Secret. Raises ApiError."""
    while True:
        secret = await cluster.get("v1", "Secret", KEYS_SECRET, namespace)
        if secret is not None:
            data = {key: base64.b64decode(value) for key, value in secret["data"].items()}
            return Signer(data["tls.key"], data["tls.crt"])
        key, certificate = make_keys()
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": KEYS_SECRET, "namespace": namespace},
            "type": "kubernetes.io/tls",
            "stringData": {"tls.key": key.decode(), "tls.crt": certificate.decode()},
        }
        try:
            await cluster.create(body)
            log.info("created the embedded registry's keys: Secret %s/%s", namespace, KEYS_SECRET)
        except ApiError as error:
            if error.status != 409:
                raise
            await asyncio.sleep(1)
