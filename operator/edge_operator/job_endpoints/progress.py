"""The endpoint ``POST /progress``, by which a compression Job reports each step that it begins.

The Job has no token for the API server. It shows the one that pushes artifacts, which names its pod, so that a pod can
report for its own Job only. Steps are kept in memory: after a restart, the operator shows none until the next step.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from edge_operator.job_endpoints.registry_tokens import Handler, reviewed_namespace
from edgemodel.error_words import in_words
from edgemodel.errors import Transient
from edgemodel.progress import StepBegun

POD_NAME: Final = "authentication.kubernetes.io/pod-name"

PodReview = Callable[[str], Awaitable[tuple[str, str] | None]]
"""A function that returns the (namespace, name) of the pod of a service-account token; None for an invalid token.

It raises edgemodel.errors.Transient when the API server does not answer.
"""

SetProgress = Callable[[str, str, StepBegun], bool]
"""A function of (namespace, pod, step) that returns True if a Job has this pod."""


def reviewed_pod(review: Mapping[str, Any]) -> tuple[str, str] | None:
    """Returns the (namespace, name) of the pod in the API server's answer; None if it names no pod."""
    namespace = reviewed_namespace(review)
    names: Sequence[Any] = (review.get("status", {}).get("user", {}).get("extra") or {}).get(POD_NAME) or ()
    return (namespace, str(names[0])) if namespace is not None and len(names) == 1 else None


def progress_handler(review: PodReview, set_progress: SetProgress) -> Handler:
    """Returns the handler of ``POST /progress``; it answers 401 to unknown tokens, 400 to anything but a step, 404 to
    pods of no compression Job and 503 while the API server does not answer."""

    async def progress(request: web.Request) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return web.Response(status=401, text="no credentials: send a bearer token\n")
        try:
            pod = await review(token)
        except Transient as error:
            return web.Response(status=503, text=f"the token cannot be checked now: {error.message}\n")
        if pod is None:
            return web.Response(status=401, text="the token belongs to no pod\n")
        try:
            step = StepBegun.decode(await request.read())
        except ValueError as error:
            return web.Response(status=400, text=f"{in_words(error)}\n")
        if not set_progress(*pod, step):
            return web.Response(status=404, text=f"{'/'.join(pod)} is not a pod of a running compression Job\n")
        return web.Response(status=204)

    return progress
