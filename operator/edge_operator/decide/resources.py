"""The CPU and memory of the containers that the operator creates.

Each container has requests and limits of both, so that it fits a namespace with a quota that demands them. Values of
the spec come first, then the defaults of the chart (``values.yaml: defaultResources``), then those here. The memory of
a server whose model is large follows from the model.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from edgemodel import job_size, serving
from edgemodel.generation import RUNTIME_BYTES, Generation
from edgemodel.job_images import JOB_IMAGES
from edgemodel.report import ArtifactReport
from edgemodel.revision import RevisionServing, RevisionVariant
from edgemodel.spec import EdgeModelSpec

Resources = Mapping[str, Mapping[str, Any]]
"""The ``requests`` and ``limits`` of a container, by the name of a resource."""

SERVER: Final = "server"
PULLER: Final = "puller"

DEFAULTS: Final[Mapping[str, Resources]] = {
    SERVER: {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"cpu": "4", "memory": "512Mi"}},
    **{image.name: image.resources for image in JOB_IMAGES.values()},
    PULLER: {"requests": {"cpu": "1m", "memory": "12Mi"}, "limits": {"cpu": "200m", "memory": "32Mi"}},
}
"""The resources of each kind of container. A CPU limit above a node's CPU does not keep a pod from it."""

WORK_LIMIT: Final = "8Gi"
"""The size of the volume that a compression Job works in, unless its source needs a larger one."""
HEADROOM_BYTES: Final = 64 * 2**20
"""The memory above what a server needs at rest that its default limit has for requests in work, with a quarter of its
weights for their layout in memory."""

_DEMANDED: Final = ("cpu", "memory")
_QUANTITY: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?")
_SUFFIXES: Final = {
    **{name: Decimal(10) ** power for name, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)},
    **{f"{name}i": Decimal(1024) ** power for power, name in enumerate("KMGTPE", start=1)},
}


def server_bytes(artifact: ArtifactReport, generation: Generation | None) -> int:
    """Returns the memory that a server of the artifact uses at rest: weights, caches, and its own."""
    facts = artifact.generator
    cache = (generation or Generation()).cache_bytes(facts) if facts is not None else 0
    return artifact.size_bytes + cache + RUNTIME_BYTES


def least_server_bytes(artifact: ArtifactReport, settings: RevisionServing) -> int:
    """Returns the memory below which a server of the artifact does not start: weights that are mapped need none."""
    mapped = artifact.size_bytes if settings.weights == serving.MAPPED else 0
    return server_bytes(artifact, settings.generate) - mapped


def server_resources(
    variant: RevisionVariant, settings: RevisionServing, chart: Mapping[str, Resources]
) -> dict[str, dict[str, Any]]:
    """Returns the resources of a server, and of a preflight Job, which must run under the same limits.

    Weights that are mapped are requested too, since a server without room for their pages reads them again and again;
    they have no other layout in memory.
    """
    needed = server_bytes(variant.artifact, settings.generate)
    layout = 0 if settings.weights == serving.MAPPED else variant.artifact.size_bytes // 4
    limit = needed + layout + HEADROOM_BYTES
    usual = DEFAULTS[SERVER]
    sized = {
        "requests": {**usual["requests"], "memory": _at_least(usual["requests"]["memory"], needed)},
        "limits": {**usual["limits"], "memory": _at_least(usual["limits"]["memory"], limit)},
    }
    return _filled(variant.resources, _filled(chart.get(SERVER) or {}, sized))


def job_resources(
    spec: EdgeModelSpec, chart: Mapping[str, Resources], source_bytes: int | None
) -> dict[str, dict[str, Any]]:
    """Returns the resources of a compression Job; the size of its source is None as long as it is not known."""
    defaults = with_defaults(spec.job_image.name, {}, chart)
    if source_bytes is not None:
        needed = job_size.memory_bytes(source_bytes)
        peak = job_size.peak_bytes(source_bytes, _step_types(spec))
        for which, size in (("requests", needed), ("limits", peak + job_size.PROGRAM_BYTES)):
            defaults[which]["memory"] = _at_least(defaults[which]["memory"], size)
    return _filled(spec.compression_job.resources, defaults)


def work_limit(source_bytes: int | None) -> str:
    """Returns the size of the volume that a compression Job works in."""
    return WORK_LIMIT if source_bytes is None else _at_least(WORK_LIMIT, job_size.disk_bytes(source_bytes))


def source_limit(spec: EdgeModelSpec, chart: Mapping[str, Resources]) -> int:
    """Returns the size of the largest source that a Job is for that does not know it; memory that the spec names is
    enough for any."""
    given = spec.compression_job.resources
    is_named = any("memory" in (given.get(which) or {}) for which in ("requests", "limits"))
    memory = None if is_named else memory_limit(job_resources(spec, chart, None))
    return job_size.largest_source(memory, int(amount(WORK_LIMIT)), _step_types(spec))


def _step_types(spec: EdgeModelSpec) -> set[str]:
    return {str(step.get("type")) for recipe in spec.request.recipes for step in recipe.steps}


def requested_memory(resources: Resources) -> int:
    """Returns the memory that a container requests, in bytes."""
    return int(amount(resources["requests"]["memory"]))


def memory_limit(resources: Resources) -> int:
    """Returns the memory limit of a container, in bytes."""
    return int(amount(resources["limits"]["memory"]))


def _at_least(quantity: str, size_bytes: int) -> str:
    """Returns ``quantity``, or the size in whole MiB if that is more."""
    return quantity if amount(quantity) >= size_bytes else f"{-(-size_bytes // 2**20)}Mi"


def with_defaults(kind: str, wanted: Resources, chart: Mapping[str, Resources]) -> dict[str, dict[str, Any]]:
    """Returns ``wanted`` with requests and limits of CPU and memory, in which no request exceeds its limit.

    A limit without a request is its request as well, as Kubernetes has it; a request beyond the default limit is its
    limit as well. ``chart`` has the chart's defaults by kind.
    """
    defaults = _filled(chart.get(kind) or {}, DEFAULTS[kind])
    return _filled(wanted, defaults)


def _filled(wanted: Resources, defaults: Resources) -> dict[str, dict[str, Any]]:
    requests, limits = dict(wanted.get("requests") or {}), dict(wanted.get("limits") or {})
    for name in _DEMANDED:
        if name in limits:
            requests.setdefault(name, limits[name])
        elif name in requests:
            limits[name] = max(requests[name], defaults["limits"][name], key=amount)
        else:
            requests[name], limits[name] = defaults["requests"][name], defaults["limits"][name]
    return {"requests": requests, "limits": limits}


def amount(quantity: Any) -> Decimal:
    """Returns a quantity of Kubernetes, such as ``500m`` or ``1Gi``, as a number. Raises ValueError for anything
    else."""
    found = _QUANTITY.fullmatch(str(quantity))
    if found is None:
        raise ValueError(f"{quantity!r} is no quantity of Kubernetes")
    number, suffix = found.groups()
    if suffix and suffix not in _SUFFIXES:
        return Decimal(f"{number}{suffix}")
    return Decimal(number) * (_SUFFIXES[suffix] if suffix else 1)
