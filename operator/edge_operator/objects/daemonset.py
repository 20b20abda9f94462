"""The immutable DaemonSet of each (revision, variant), bound to nodes by the revision's pin."""

from edge_operator.decide.observation import Observation, Revision
from edge_operator.decide.resources import PULLER, with_defaults
from edge_operator.objects import artifact_pod
from edge_operator.objects.common import RESTRICTED_CONTAINER, RESTRICTED_POD, Object, metadata, owned_by
from edgemodel import serving
from edgemodel.generation import KeyReference
from edgemodel.names import (
    COMPONENT_PULLER,
    COMPONENT_SERVER,
    LABEL_MODEL,
    LABEL_REVISION,
    LABEL_VARIANT,
    PULLER_PREFIX,
    REPLAY_TOKEN_KEY,
    daemonset_name,
    pin_key,
    replay_secret_name,
)
from edgemodel.revision import RevisionServing

PRE_STOP_SECONDS = 5
"""The time before a server is stopped: its pod still gets new connections for about two seconds after its pin is
gone."""
GRACE_SECONDS = 30
"""The time from a server's stop to its kill, with PRE_STOP_SECONDS; longer for answers that take longer."""
END_SECONDS = 5
"""The time that a server has after its last answer."""
API_KEY_VOLUME = "api-key"
API_KEY_PATH = "key"
START_SECONDS = 300
"""The time for loading and the golden set before the kubelet restarts the container."""


def daemonset(observation: Observation, revision: Revision, variant: str) -> Object:
    """Returns the DaemonSet of ``variant``, or of a variant's puller, which has the image and serves nothing.

    Pods stay when their node is not ready or unreachable: DaemonSet pods tolerate that without limit.
    """
    pulls = variant.startswith(PULLER_PREFIX)
    component = COMPONENT_PULLER if pulls else COMPONENT_SERVER
    labels = {LABEL_REVISION: revision.name, LABEL_VARIANT: variant}
    name = daemonset_name(revision.name, variant)
    meta = metadata(observation.namespace, name, observation.name, component, **labels)
    pin = pin_key(observation.namespace, observation.name, revision.name, variant)
    container = (_puller if pulls else _server)(observation, revision, variant)
    volumes: Object = {}
    if (secret := revision.spec.serving.api_key_secret_ref) is not None:
        # The puller has it too: a Secret that is missing is found before the pod of stable is stopped.
        volumes = {"volumes": [_api_key_volume(secret)]}
        mount = {"name": API_KEY_VOLUME, "mountPath": serving.API_KEY_DIRECTORY, "readOnly": True}
        container["volumeMounts"] = [mount]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {**meta, "ownerReferences": owned_by("EdgeModelRevision", revision.name, revision.uid)},
        "spec": {
            "revisionHistoryLimit": 1,
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": {LABEL_MODEL: observation.name, **labels}},
            "template": {
                "metadata": {
                    "labels": meta["labels"],
                    "annotations": {"kubectl.kubernetes.io/default-container": "server"},
                },
                "spec": {
                    "nodeSelector": {pin: "true"},
                    "tolerations": artifact_pod.tolerations(revision),
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 1 if pulls else _grace_seconds(revision.spec.serving),
                    "securityContext": RESTRICTED_POD,
                    "imagePullSecrets": artifact_pod.pull_secrets(observation, revision),
                    "containers": [container],
                    **volumes,
                },
            },
        },
    }


def _puller(observation: Observation, revision: Revision, variant: str) -> Object:
    """Returns a container that only waits; it runs so that the node has the variant's image."""
    wait = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"
    return {
        "name": "puller",
        "image": artifact_pod.image(observation, revision, variant.removeprefix(PULLER_PREFIX)),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", wait],
        "resources": with_defaults(PULLER, {}, observation.settings.default_resources),
        "securityContext": RESTRICTED_CONTAINER,
    }


def _server(observation: Observation, revision: Revision, variant: str) -> Object:
    settings = revision.spec.serving
    port: Object = {"name": "http", "containerPort": settings.port, "protocol": "TCP"}
    if settings.host_port is not None:
        port["hostPort"] = settings.host_port
    ready = {"path": "/v2/health/ready", "port": "http"}
    live = {"path": "/v2/health/live", "port": "http"}
    warm_up = settings.warm_up_seconds
    return {
        "name": "server",
        "image": artifact_pod.image(observation, revision, variant),
        "imagePullPolicy": "IfNotPresent",
        "ports": [port],
        "env": [
            {"name": serving.NAMESPACE, "value": observation.namespace},
            {"name": serving.MODEL, "value": observation.name},
            {"name": serving.REVISION, "value": revision.name},
            {"name": serving.VARIANT, "value": variant},
            {"name": serving.NODE, "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": serving.PORT, "value": str(settings.port)},
            *_objectives(settings),
            *([{"name": serving.WARM_UP_SECONDS, "value": str(warm_up)}] if warm_up is not None else []),
            *artifact_pod.tuning(revision),
            *_replay(observation, settings),
            *_long_answers(settings),
        ],
        "resources": artifact_pod.resources(observation, revision, variant),
        "securityContext": RESTRICTED_CONTAINER,
        "startupProbe": {"httpGet": live, "periodSeconds": 1, "failureThreshold": START_SECONDS},
        "readinessProbe": {"httpGet": ready, "periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 2},
        "livenessProbe": {"httpGet": live, "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 5},
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
    }


def _objectives(settings: RevisionServing) -> list[Object]:
    """Returns the variables of the objectives by which analysis judges, at which histograms have a bucket edge."""
    found = {
        serving.LATENCY_OBJECTIVE_MILLISECONDS: settings.latency_objective_milliseconds,
        serving.FIRST_TOKEN_OBJECTIVE_MILLISECONDS: settings.first_token_objective_milliseconds,
        serving.INTER_TOKEN_OBJECTIVE_MILLISECONDS: settings.inter_token_objective_milliseconds,
    }
    return [{"name": name, "value": value} for name, value in found.items() if value]


def _api_key_volume(secret: KeyReference) -> Object:
    """Returns a volume, in which a key that changes arrives without a new pod; a variable would keep the first."""
    items = [{"key": secret.key, "path": API_KEY_PATH}]
    return {"name": API_KEY_VOLUME, "secret": {"secretName": secret.name, "defaultMode": 0o440, "items": items}}


def _grace_seconds(settings: RevisionServing) -> int:
    """Returns the time from a server's stop to its kill, in which its longest answer ends."""
    if settings.generate is None:
        return GRACE_SECONDS
    return max(GRACE_SECONDS, PRE_STOP_SECONDS + settings.generate.stream_seconds + END_SECONDS)


def _long_answers(settings: RevisionServing) -> list[Object]:
    """Returns the variables with the time to end requests in, and with the file of the key that clients show."""
    found = {}
    if settings.generate is not None:
        found[serving.DRAIN_SECONDS] = str(_grace_seconds(settings) - PRE_STOP_SECONDS - END_SECONDS)
    if settings.api_key_secret_ref is not None:
        found[serving.API_KEY_FILE] = f"{serving.API_KEY_DIRECTORY}/{API_KEY_PATH}"
    return [{"name": name, "value": value} for name, value in found.items()]


def _replay(observation: Observation, settings: RevisionServing) -> list[Object]:
    """Returns the variables of shadow replay: the number of requests kept, the server to replay from, and the token.

    If somebody has deleted the Secret, servers start without the token and replay nothing.
    """
    if settings.shadow_replay is None:
        return []
    token = {"name": replay_secret_name(observation.name), "key": REPLAY_TOKEN_KEY, "optional": True}
    return [
        {"name": serving.SHADOW_REPLAY_MAX_REQUESTS, "value": str(settings.shadow_replay.max_requests)},
        {
            "name": serving.SHADOW_REPLAY_FROM,
            "value": f"http://{observation.name}.{observation.namespace}:{settings.port}",
        },
        {"name": serving.SHADOW_REPLAY_TOKEN, "valueFrom": {"secretKeyRef": token}},
    ]


def replay_secret(observation: Observation, token: str) -> Object:
    """Returns the Secret with the token of shadow replay, which permits reading the requests that servers keep."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            **metadata(observation.namespace, replay_secret_name(observation.name), observation.name, COMPONENT_SERVER),
            "ownerReferences": owned_by("EdgeModel", observation.name, observation.uid),
        },
        "type": "Opaque",
        "immutable": True,
        "stringData": {REPLAY_TOKEN_KEY: token},
    }
