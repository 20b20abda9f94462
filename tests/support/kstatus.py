"""The status of an object by the published rules of kstatus, as Flux and ``kubectl wait`` read it.

kstatus (``sigs.k8s.io/cli-utils/pkg/kstatus``), for resources without specific rules: an object that is being deleted
is Terminating; one whose ``status.observedGeneration`` differs from its generation is InProgress; a true condition
Reconciling makes it InProgress, a true Stalled makes it Failed; then Ready decides, True for Current, otherwise
InProgress. Without any of these it is Current.
"""

from typing import Any

TERMINATING, IN_PROGRESS, FAILED, CURRENT = "Terminating", "InProgress", "Failed", "Current"


def compute(item: dict[str, Any]) -> str:
    """Returns the status of an object, as kstatus computes it."""
    meta, status = item["metadata"], item.get("status") or {}
    if "deletionTimestamp" in meta:
        return TERMINATING
    if "observedGeneration" in status and status["observedGeneration"] != meta.get("generation"):
        return IN_PROGRESS
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions") or ()}
    if conditions.get("Reconciling") == "True":
        return IN_PROGRESS
    if conditions.get("Stalled") == "True":
        return FAILED
    if "Ready" in conditions:
        return CURRENT if conditions["Ready"] == "True" else IN_PROGRESS
    return CURRENT
