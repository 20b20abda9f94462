"""The application that compression Jobs call. The API server identifies the owner of a Job's token."""

from typing import Any

from aiohttp import web

from edge_operator.cluster import ApiError, Cluster
from edge_operator.job_endpoints.progress import SetProgress, progress_handler, reviewed_pod
from edge_operator.job_endpoints.registry_tokens import Signer, reviewed_namespace, token_handler, token_review
from edgemodel.errors import Transient
from edgemodel.progress import MAX_BYTES
from edgemodel.reasons import REGISTRY_UNREACHABLE


def application(cluster: Cluster, signer: Signer | None, set_progress: SetProgress) -> web.Application:
    """Returns the application of ``GET /token``, if there is a ``signer``, and ``POST /progress``."""

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
