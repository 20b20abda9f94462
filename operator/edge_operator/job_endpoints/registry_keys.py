"""The embedded registry's keys, kept in a Secret that the first operator creates."""

import asyncio
import base64
import logging

from edge_operator.cluster import ApiError, Cluster, Object
from edge_operator.job_endpoints.registry_tokens import KEYS_SECRET, Signer, make_keys
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled
from edgemodel.reasons import INVALID_SPEC

log = logging.getLogger(__name__)


async def make_signer(cluster: Cluster, namespace: str) -> Signer:
    """Returns a signer with the registry's keys. Creates them if there are none: the registry's pod waits for their
    Secret.

    Raises ApiError, and Stalled for a Secret without usable keys.
    """
    while True:
        secret = await cluster.get("v1", "Secret", KEYS_SECRET, namespace)
        if secret is not None:
            return _read(secret, namespace)
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


def _read(secret: Object, namespace: str) -> Signer:
    try:
        data = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
        if not (missing := [key for key in ("tls.key", "tls.crt") if key not in data]):
            return Signer(data["tls.key"], data["tls.crt"])
        why = f"it has no {missing[0]}"
    except ValueError as error:
        why = in_words(error)
    raise Stalled(
        INVALID_SPEC,
        f"Secret {namespace}/{KEYS_SECRET} does not hold the embedded registry's keys: {why}; delete it, and restart "
        "the operator, which creates it again, and then the registry",
    )
