"""What compression Jobs ask on this cluster: tokens for the embedded registry, whose keys are in a Secret.

The API server says whose token it is that a Job shows.
"""

import asyncio
import base64
import logging
from typing import Any

from aiohttp import web

from edge_operator.cluster.client import ApiError, Cluster
from edge_operator.job_progress import SetProgress, progress_handler, reviewed_pod
from edge_operator.registry_tokens import (
    KEYS_SECRET,
    Signer,
    make_keys,
    reviewed_namespace,
    token_handler,
    token_review,
)
from edgemodel.errors import Transient
from edgemodel.progress import MAX_BYTES
from edgemodel.reasons import REGISTRY_UNREACHABLE

log = logging.getLogger(__name__)


def application(cluster: Cluster, signer: Signer | None, set_progress: SetProgress) -> web.Application:
    """``GET /token``, where there is a ``signer``, and ``POST /progress``."""

    async def ask(token: str) -> dict[str, Any]:
        try:
            return await cluster.create(token_review(token))
        except ApiError as error:
            raise Transient(REGISTRY_UNREACHABLE, str(error)) from error

    async def namespace(token: str) -> str | None:
        return reviewed_namespace(await ask(token))

    async def pod(token: str) -> tuple[str, str] | None:
        return reviewed_pod(await ask(token))

    app = web.Application(client_max_size=MAX_BYTES)
    app.add_routes([web.post("/progress", progress_handler(pod, set_progress))])
    if signer is not None:
        app.add_routes([web.get("/token", token_handler(signer, namespace))])
    return app


async def make_signer(cluster: Cluster, namespace: str) -> Signer:
    """With the registry's keys; makes them when nobody has yet: the registry's pod waits for their Secret."""
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
            log.info("made the embedded registry's keys: Secret %s/%s", namespace, KEYS_SECRET)
        except ApiError as error:
            if error.status != 409:
                raise
            await asyncio.sleep(1)
