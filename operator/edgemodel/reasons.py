"""Every reason that a condition, an event, a report or a log line can carry, with its meaning and its remedy.

``kubectl describe`` shows the word, and a search for the word ends here. A constant is the plain word; REASONS has its
meaning and remedy. ``docs/reference.py`` makes docs/reference/reasons.md of REASONS.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Kind(StrEnum):
    """The party that acts next."""

    STALLED = "Stalled"
    """A person must act; nothing changes until the manifest, the data or the cluster is changed."""
    TRANSIENT = "Transient"
    """Time may heal: the operator retries by itself, and goes on when it can."""
    PROGRESS = "Progress"
    """The operator is at work."""
    STEADY = "Steady"
    """Nothing is left to do."""


class Topic(StrEnum):
    """The part of an EdgeModel's life that a reason belongs to, as the documentation groups them."""

    COMPRESSION = "Compression"
    PREFLIGHT = "Preflight"
    ROLLOUT = "Rollout"
    ANALYSIS = "Analysis"
    NODE = "Node"


@dataclass(frozen=True)
class Reason:
    """A word with its meaning and its remedy, each of them one or more whole sentences."""

    word: str
    topic: Topic
    kind: Kind
    meaning: str
    remedy: str


def anchor_of(word: str) -> str:
    """Returns the anchor of a reason on the page of reasons: that of its heading, on every forge and on the site."""
    return word.lower()


_declared: dict[str, Reason] = {}

REASONS: Final[Mapping[str, Reason]] = MappingProxyType(_declared)
"""Every declared reason by its word, in the order of declaration."""


def _declare(word: str, topic: Topic, kind: Kind, meaning: str, remedy: str) -> str:
    """Returns ``word`` and puts the reason into REASONS. Raises ValueError when the word is declared already."""
    if word in _declared:
        raise ValueError(f"reason {word} is declared twice")
    _declared[word] = Reason(word, topic, kind, meaning, remedy)
    return word


# --- the compression Job ---

INVALID_SPEC: Final = _declare(
    "InvalidSpec", Topic.COMPRESSION, Kind.STALLED,
    "The spec, or a setting of the operator, contradicts itself or the model in a way that the schema cannot check.",
    "Correct what the message names.",
)  # fmt: skip
SOURCE_NOT_FOUND: Final = _declare(
    "SourceNotFound", Topic.COMPRESSION, Kind.STALLED,
    "Nothing exists at a URI of spec.source, spec.datasets or spec.compression.teacher.",
    "Correct the URI that the message names.",
)  # fmt: skip
SOURCE_UNAUTHORIZED: Final = _declare(
    "SourceUnauthorized", Topic.COMPRESSION, Kind.STALLED,
    "The host of a source refused the credentials, or demands some and secretRef is missing.",
    "Correct secretRef, or the Secret that it names.",
)  # fmt: skip
SOURCE_NOT_ALLOWED: Final = _declare(
    "SourceNotAllowed", Topic.COMPRESSION, Kind.STALLED,
    "The scheme or host of a source is not on the allow-list, or its path leaves its folder or volume.",
    "Use an allowed host or path, or have an administrator add the host to the chart's operator.allowedSourceHosts.",
)  # fmt: skip
DIGEST_MISMATCH: Final = _declare(
    "DigestMismatch", Topic.COMPRESSION, Kind.STALLED,
    "The bytes have another SHA-256 digest than the one that was named.",
    "Correct the digest if the file was replaced on purpose; otherwise do not trust the host.",
)  # fmt: skip
SOURCE_INVALID: Final = _declare(
    "SourceInvalid", Topic.COMPRESSION, Kind.STALLED,
    "The source, or the teacher, is not a model that can be loaded and served.",
    "Export the model again as the message says.",
)  # fmt: skip
DATASET_INVALID: Final = _declare(
    "DatasetInvalid", Topic.COMPRESSION, Kind.STALLED,
    "Arrays of a data set are missing, or differ from the model's inputs in length, datatype or shape.",
    "Correct the arrays that the message names, and publish the data set again.",
)  # fmt: skip
DATASET_EMPTY: Final = _declare(
    "DatasetEmpty", Topic.COMPRESSION, Kind.STALLED,
    "A data set has no samples.",
    "Publish a data set with samples.",
)  # fmt: skip
STEP_FAILED: Final = _declare(
    "StepFailed", Topic.COMPRESSION, Kind.STALLED,
    "A compression step cannot be applied to this model.",
    "Change or remove the step; the message names it and says what it needs.",
)  # fmt: skip
BUDGET_EXCEEDED: Final = _declare(
    "BudgetExceeded", Topic.COMPRESSION, Kind.STALLED,
    "The gate failed: the artifact exceeds a limit of spec.compression.budget.",
    "Relax the budget or change the steps; the message has the observed value and the limit.",
)  # fmt: skip
EVALUATION_INCONCLUSIVE: Final = _declare(
    "EvaluationInconclusive", Topic.COMPRESSION, Kind.STALLED,
    "The evaluation set cannot decide whether the budget is kept: too few samples, or labels of other outputs.",
    "Change the set as the message says, or set spec.compression.budget.onInconclusive.action to Proceed.",
)  # fmt: skip
SERVER_LAYER_MISSING: Final = _declare(
    "ServerLayerMissing", Topic.COMPRESSION, Kind.STALLED,
    "The artifact's runtime needs an image layer that the chart does not name.",
    "Have an administrator add the layer to the chart's server.layers.",
)  # fmt: skip
ARTIFACT_REJECTED: Final = _declare(
    "ArtifactRejected", Topic.COMPRESSION, Kind.STALLED,
    "The registry refused the push of the artifact for good, or does not speak as the chart expects.",
    "Correct the registry's configuration, or the chart's values for it, as the message says; then kubectl edgemodel "
    "retry NAME.",
)  # fmt: skip
OUT_OF_MEMORY: Final = _declare(
    "OutOfMemory", Topic.COMPRESSION, Kind.STALLED,
    "A Job was killed at its memory limit.",
    "Raise spec.compression.resources.limits.memory; for a preflight Job, spec.serving.resources.limits.memory.",
)  # fmt: skip
DEADLINE_EXCEEDED: Final = _declare(
    "DeadlineExceeded", Topic.COMPRESSION, Kind.STALLED,
    "A Job was still running at its deadline.",
    "Raise spec.compression.deadlineSeconds; for a preflight Job, spec.preflight.deadlineSeconds.",
)  # fmt: skip
COMPRESSION_FAILED: Final = _declare(
    "CompressionFailed", Topic.COMPRESSION, Kind.STALLED,
    "The compressor ended with an error that it does not expect.",
    "Look at the Job's log: kubectl logs job/NAME.",
)  # fmt: skip
CONVERTER_FAILED: Final = _declare(
    "ConverterFailed", Topic.COMPRESSION, Kind.STALLED,
    "The converter of spec.source ended with an error, or wrote no usable file; the message has its exit code and the "
    "end of its log.",
    "Correct the converter, and name the digest of its new image.",
)  # fmt: skip
CONVERTER_NOT_ALLOWED: Final = _declare(
    "ConverterNotAllowed", Topic.COMPRESSION, Kind.STALLED,
    "No prefix in the chart's operator.allowedConverterImages matches the image of spec.source.converter.",
    "Have an administrator add a prefix of the image, or use an image that is allowed.",
)  # fmt: skip
SOURCE_UNREACHABLE: Final = _declare(
    "SourceUnreachable", Topic.COMPRESSION, Kind.TRANSIENT,
    "The host of a source does not answer. The Job is retried with growing delays.",
    "Check the network between the cluster and the host if it lasts.",
)  # fmt: skip
REGISTRY_UNREACHABLE: Final = _declare(
    "RegistryUnreachable", Topic.COMPRESSION, Kind.TRANSIENT,
    "The registry does not answer. The Job is retried with growing delays.",
    "Check that the registry runs and can be reached if it lasts.",
)  # fmt: skip
COMPRESSING: Final = _declare(
    "Compressing", Topic.COMPRESSION, Kind.PROGRESS,
    "The compression Job runs, or waits to be started.",
    "Wait.",
)  # fmt: skip
PUBLISHED: Final = _declare(
    "Published", Topic.COMPRESSION, Kind.PROGRESS,
    "The artifacts are in the registry, and no node has switched to them yet.",
    "Wait.",
)  # fmt: skip

# --- before the first wave ---

PREFLIGHT_RUNNING: Final = _declare(
    "PreflightRunning", Topic.PREFLIGHT, Kind.PROGRESS,
    "One node of each hardware class loads and measures the artifact, before the first wave.",
    "Wait.",
)  # fmt: skip
PREFLIGHT_FAILED: Final = _declare(
    "PreflightFailed", Topic.PREFLIGHT, Kind.STALLED,
    "On one hardware class the artifact is too slow, answers its golden set differently, or its Job fails. No node has "
    "served it.",
    "Use another recipe, or change the limit or the resources that the message names; rollout.retryToken tries again.",
)  # fmt: skip
LATENCY_UNVERIFIED: Final = _declare(
    "LatencyUnverified", Topic.PREFLIGHT, Kind.PROGRESS,
    "A hardware class has no node that is eligible for preflight, so the rollout continues without its measurement.",
    "Label a node of that class for preflight, or bring one online, before the next candidate.",
)  # fmt: skip

# --- the rollout ---

ROLLING_OUT: Final = _declare(
    "RollingOut", Topic.ROLLOUT, Kind.PROGRESS,
    "The nodes of a wave switch to the candidate.",
    "Wait.",
)  # fmt: skip
SOAKING: Final = _declare(
    "Soaking", Topic.ROLLOUT, Kind.PROGRESS,
    "A wave serves the candidate for rollout.soakSeconds before the next wave begins.",
    "Wait.",
)  # fmt: skip
BAKING: Final = _declare(
    "Baking", Topic.ROLLOUT, Kind.PROGRESS,
    "All waves serve the candidate, which is watched for rollout.bakeSeconds before the last nodes "
    "(rollout.controlNodes) switch and it becomes stable.",
    "Wait.",
)  # fmt: skip
PAUSED: Final = _declare(
    "Paused", Topic.ROLLOUT, Kind.STALLED,
    "spec.rollout.paused is true.",
    "Set spec.rollout.paused to false to continue.",
)  # fmt: skip
NODES_OFFLINE: Final = _declare(
    "NodesOffline", Topic.ROLLOUT, Kind.TRANSIENT,
    "No node is online to take the candidate, or some nodes of the EdgeModel are offline.",
    "Bring a node back.",
)  # fmt: skip
POD_REFUSED: Final = _declare(
    "PodRefused", Topic.ROLLOUT, Kind.STALLED,
    "Kubernetes refuses to make a pod of a Job or a DaemonSet: a quota, a LimitRange, Pod Security, a missing "
    "ServiceAccount or an admission webhook; the message is that of whoever refused it.",
    "Change what the message names. Kubernetes tries again by itself, and the operator goes on when there is a pod.",
)  # fmt: skip
SECRET_NOT_FOUND: Final = _declare(
    "SecretNotFound", Topic.ROLLOUT, Kind.STALLED,
    "The Secret of spec.serving.apiKeySecretRef, or its key, does not exist in the namespace, so no pod can start.",
    "Create it, or correct spec.serving.apiKeySecretRef. The pods start by themselves within two minutes, and no "
    "candidate is blamed.",
)  # fmt: skip
NODES_SET_ASIDE: Final = _declare(
    "NodesSetAside", Topic.ROLLOUT, Kind.TRANSIENT,
    "Selected nodes are cordoned, have a taint that the pods do not tolerate, or get no pod for another reason. What "
    "serves there goes on; the nodes get nothing new, and catch up later.",
    "Uncordon the node, remove the taint, or add a toleration to spec.placement.tolerations.",
)  # fmt: skip
NODES_CATCHING_UP: Final = _declare(
    "NodesCatchingUp", Topic.ROLLOUT, Kind.PROGRESS,
    "Nodes that came later, or were offline, switch to the stable revision.",
    "Wait.",
)  # fmt: skip
SERVING: Final = _declare(
    "Serving", Topic.ROLLOUT, Kind.STEADY,
    "The newest revision serves on every node that is online.",
    "None needed.",
)  # fmt: skip
NOT_SERVING: Final = _declare(
    "NotServing", Topic.ROLLOUT, Kind.PROGRESS,
    "No selected node serves the EdgeModel.",
    "Look at the condition Ready for the cause.",
)  # fmt: skip
PROMOTED: Final = _declare(
    "Promoted", Topic.ROLLOUT, Kind.STEADY,
    "The revision went through all waves and became stable.",
    "None needed.",
)  # fmt: skip
ROLLED_BACK: Final = _declare(
    "RolledBack", Topic.ROLLOUT, Kind.STALLED,
    "A candidate failed on a node or in a check, and stable continues to serve; the message has the cause.",
    "Change source, steps, data or serving settings; rollout.retryToken tries the same candidate again.",
)  # fmt: skip
PROGRESS_DEADLINE_EXCEEDED: Final = _declare(
    "ProgressDeadlineExceeded", Topic.ROLLOUT, Kind.STALLED,
    "No node took the candidate for rollout.progressDeadlineSeconds.",
    "Look at the nodes that the message names; the rollout continues by itself when it can.",
)  # fmt: skip
NODES_FAILED: Final = _declare(
    "NodesFailed", Topic.ROLLOUT, Kind.STALLED,
    "More nodes than rollout.maxFailedNodes do not serve the stable revision.",
    "Look at the nodes that the message names.",
)  # fmt: skip
SIGNATURE_CHANGED: Final = _declare(
    "SignatureChanged", Topic.ROLLOUT, Kind.STALLED,
    "The candidate has other inputs, outputs, class names or state than stable, and callers would break; no node has "
    "switched.",
    "Change the model, or set rollout.acceptSignature to the hash that the message names.",
)  # fmt: skip
NO_MATCHING_NODES: Final = _declare(
    "NoMatchingNodes", Topic.ROLLOUT, Kind.STALLED,
    "spec.placement.nodeSelector selects no node.",
    "Correct the selector, or label nodes.",
)  # fmt: skip
UNSUPPORTED_ARCHITECTURE: Final = _declare(
    "UnsupportedArchitecture", Topic.ROLLOUT, Kind.STALLED,
    "Every selected node has a processor architecture for which there is no server image.",
    "Select nodes with amd64 or arm64.",
)  # fmt: skip
SERVICE_NAME_CONFLICT: Final = _declare(
    "ServiceNameConflict", Topic.ROLLOUT, Kind.STALLED,
    "A Service with the EdgeModel's name exists and does not belong to the EdgeModel.",
    "Rename the Service or the EdgeModel.",
)  # fmt: skip
HOST_PORT_CONFLICT: Final = _declare(
    "HostPortConflict", Topic.ROLLOUT, Kind.STALLED,
    "Another EdgeModel uses the same serving.hostPort on a node that both select.",
    "Change serving.hostPort or spec.placement.",
)  # fmt: skip
OBJECT_UNREADABLE: Final = _declare(
    "ObjectUnreadable", Topic.ROLLOUT, Kind.STALLED,
    "An object was written by another version of the operator, or was damaged. Nothing of its EdgeModel is changed.",
    "Follow the advice in the message.",
)  # fmt: skip
SCHEMA_OUTDATED: Final = _declare(
    "SchemaOutdated", Topic.ROLLOUT, Kind.STALLED,
    "The EdgeModel or one of its revisions has fields of an older schema. Nothing of the EdgeModel is changed.",
    "Apply the manifest with the new names of the fields, which the message lists.",
)  # fmt: skip

# --- analysis: the results of checks ---

ERROR_RATE_TOO_HIGH: Final = _declare(
    "ErrorRateTooHigh", Topic.ANALYSIS, Kind.STALLED,
    "More requests to the candidate fail than the check allows.",
    "Look at the servers' logs, and publish another candidate.",
)  # fmt: skip
LATENCY_TOO_HIGH: Final = _declare(
    "LatencyTooHigh", Topic.ANALYSIS, Kind.STALLED,
    "The candidate answers more slowly than the check allows.",
    "Use another recipe, give it more resources, or raise the limit.",
)  # fmt: skip
ACCURACY_TOO_LOW: Final = _declare(
    "AccuracyTooLow", Topic.ANALYSIS, Kind.STALLED,
    "By the labels that clients sent, the candidate is right less often than the check allows.",
    "Use another recipe, or train the model again.",
)  # fmt: skip
QUERY_OUT_OF_BOUNDS: Final = _declare(
    "QueryOutOfBounds", Topic.ANALYSIS, Kind.STALLED,
    "The result of a user's PromQL check is outside its bounds.",
    "Look at what the query measures, and publish another candidate.",
)  # fmt: skip
ANALYSIS_INCONCLUSIVE: Final = _declare(
    "AnalysisInconclusive", Topic.ANALYSIS, Kind.TRANSIENT,
    "A check has too few requests or labels to be decided; the wave waits for more.",
    "Send requests, or wait; the message says what is missing and how long the wave waits.",
)  # fmt: skip
METRICS_UNAVAILABLE: Final = _declare(
    "MetricsUnavailable", Topic.ANALYSIS, Kind.TRANSIENT,
    "Prometheus does not answer, or has no metrics of the nodes.",
    "Check Prometheus and its scrape targets.",
)  # fmt: skip
CONTROL_DEGRADED: Final = _declare(
    "ControlDegraded", Topic.ANALYSIS, Kind.TRANSIENT,
    "Nodes that serve stable got worse as well, so the candidate is not blamed; the wave waits until that is over.",
    "Look for a cause outside the candidate, such as other load on the nodes.",
)  # fmt: skip
NO_TRAFFIC: Final = _declare(
    "NoTraffic", Topic.ANALYSIS, Kind.TRANSIENT,
    "The candidate got no request. The golden set decides instead; an artifact without one waits for requests.",
    "Send requests.",
)  # fmt: skip
NO_BASELINE: Final = _declare(
    "NoBaseline", Topic.ANALYSIS, Kind.PROGRESS,
    "A check has nothing to compare with: this is a first revision, or the artifact has no golden set. Nothing waits "
    "for it.",
    "None needed.",
)  # fmt: skip
ANALYSIS_DEADLINE_EXCEEDED: Final = _declare(
    "AnalysisDeadlineExceeded", Topic.ANALYSIS, Kind.STALLED,
    "The data did not decide a check within spec.analysis.onInconclusive.afterSeconds.",
    "Send requests, correct what the message names, or set spec.analysis.onInconclusive.action to Proceed or RollBack; "
    "the rollout continues when the data decide.",
)  # fmt: skip

# --- why a node failed ---

GOLDEN_MISMATCH: Final = _declare(
    "GoldenMismatch", Topic.NODE, Kind.STALLED,
    "The artifact answers its golden set differently on this node's hardware.",
    "Use a recipe that suits the hardware, or a variant for these nodes.",
)  # fmt: skip
MODEL_LOAD_FAILED: Final = _declare(
    "ModelLoadFailed", Topic.NODE, Kind.STALLED,
    "The server cannot load the artifact on this node.",
    "Correct what the message names, such as an operator that the runtime lacks.",
)  # fmt: skip
INSUFFICIENT_MEMORY: Final = _declare(
    "InsufficientMemory", Topic.NODE, Kind.STALLED,
    "The weights, the cache and the server do not fit into the memory limit of the pod, and nothing was loaded; or "
    "nodes cannot hold the server that the candidate requests, with Surge beside that of stable. The message has both "
    "numbers.",
    "Raise spec.serving.resources.limits.memory, set fewer spec.serving.generate.sequences or contextTokens, or use "
    "spec.serving.strategy Recreate.",
)  # fmt: skip
CRASH_LOOP: Final = _declare(
    "CrashLoop", Topic.NODE, Kind.STALLED,
    "The server's container ended again and again.",
    "Look at its log: kubectl logs --previous POD.",
)  # fmt: skip
IMAGE_PULL_FAILED: Final = _declare(
    "ImagePullFailed", Topic.NODE, Kind.STALLED,
    "A node cannot pull an image: the artifact's, or that of a compression Job or its converter.",
    "Correct what the message names: spec.imagePullSecrets, the login in the Secret, or the image.",
)  # fmt: skip
UNSCHEDULABLE: Final = _declare(
    "Unschedulable", Topic.NODE, Kind.STALLED,
    "No node has room for the pod, or the pod tolerates none; the message is the scheduler's.",
    "Free resources, or correct spec.serving.resources or spec.placement.tolerations.",
)  # fmt: skip
CONTAINER_NOT_STARTED: Final = _declare(
    "ContainerNotStarted", Topic.NODE, Kind.STALLED,
    "The kubelet cannot create or start the container; the message has its reason, such as CreateContainerConfigError.",
    "Correct what the message names; usually a Secret or a volume is missing.",
)  # fmt: skip
POD_EVICTED: Final = _declare(
    "PodEvicted", Topic.NODE, Kind.STALLED,
    "The kubelet evicted the pod because the node ran short of a resource, which the message names.",
    "Free that resource on the node, or lower the requests of other pods.",
)  # fmt: skip
POD_NOT_ADMITTED: Final = _declare(
    "PodNotAdmitted", Topic.NODE, Kind.STALLED,
    "The kubelet refused the pod, because the node lacks what the pod asks for.",
    "Correct spec.serving or spec.placement as the message says.",
)  # fmt: skip
POD_FAILED: Final = _declare(
    "PodFailed", Topic.NODE, Kind.STALLED,
    "The kubelet ended the pod for another reason, which the message has.",
    "Correct what the message names.",
)  # fmt: skip
NODE_READY_TIMEOUT: Final = _declare(
    "NodeReadyTimeout", Topic.NODE, Kind.STALLED,
    "A node did not serve within rollout.nodeReadyTimeoutSeconds of its switch.",
    "Look at the pod on that node; raise the timeout where downloads are slow.",
)  # fmt: skip
NODE_LOST: Final = _declare(
    "NodeLost", Topic.NODE, Kind.STALLED,
    "A node went offline after its switch and did not come back within rollout.nodeReadyTimeoutSeconds.",
    "Look at the node; rollout.retryToken tries the candidate again.",
)  # fmt: skip
