"""The Event about a change of an EdgeModel, as ``kubectl describe`` shows it."""

from datetime import datetime
from typing import Any

from edge_operator.decide.observation import Observation
from edge_operator.decide.status.suspension import SuspendedModel
from edge_operator.objects.common import Object
from edgemodel.digest import canonical_json
from edgemodel.names import API_VERSION, short_hash
from edgemodel.status import MAX_MESSAGE_LENGTH
from edgemodel.timestamp import timestamp


def event(model: Observation | SuspendedModel, reason: str, message: str, now: datetime, *, is_warning: bool) -> Object:
    """Returns an Event, which gets the same name again when a killed pass is repeated.

    The name is made from the stored status of ``model``, which nothing has changed in between.
    """
    moment: list[Any] = [model.uid, model.generation, dict(model.stored_status), reason]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{model.name}.{short_hash(canonical_json(moment).decode(), 16)}",
            "namespace": model.namespace,
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "EdgeModel",
            "namespace": model.namespace,
            "name": model.name,
            "uid": model.uid,
        },
        "reason": reason,
        "message": message[:MAX_MESSAGE_LENGTH],
        "type": "Warning" if is_warning else "Normal",
        "firstTimestamp": timestamp(now),
        "lastTimestamp": timestamp(now),
        "count": 1,
        "source": {"component": "edgemodel-operator"},
        "reportingComponent": "edgemodel-operator",
    }
