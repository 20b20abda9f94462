"""Every reason that a condition, an event or a report can carry, with its meaning.

``kubectl describe`` shows the word; a search for the word ends here. The comment of each says what a
user does about it.
"""

from typing import Final

# --- the compression Job's report: a person must act ---
SOURCE_NOT_FOUND: Final = "SourceNotFound"  # the URI names nothing: correct spec.source.uri
SOURCE_UNAUTHORIZED: Final = "SourceUnauthorized"  # wrong or missing secretRef
SOURCE_NOT_ALLOWED: Final = "SourceNotAllowed"  # scheme or host is not on the allow-list, or a path leaves its folder
DIGEST_MISMATCH: Final = "DigestMismatch"  # the bytes are not those named: correct the digest, or distrust the host
SOURCE_INVALID: Final = "SourceInvalid"  # not a model that can be loaded
DATASET_INVALID: Final = "DatasetInvalid"  # arrays missing, of other length, dtype or shape than the model's inputs
DATASET_EMPTY: Final = "DatasetEmpty"  # no samples
STEP_FAILED: Final = "StepFailed"  # a step cannot be applied to this model: the message names step and cure
BUDGET_EXCEEDED: Final = "BudgetExceeded"  # the gate failed: relax the budget or change the steps
EVALUATION_INCONCLUSIVE: Final = "EvaluationInconclusive"  # too few samples for the margin: the message says how many
SERVER_LAYER_MISSING: Final = "ServerLayerMissing"  # the artifact's runtime needs a layer that the chart does not name
# in server.layers: an administrator adds it there
ARTIFACT_REJECTED: Final = "ArtifactRejected"  # the registry refuses the push for good
OUT_OF_MEMORY: Final = "OutOfMemory"  # raise spec.compression.resources.limits.memory; of a preflight: spec.serving's
DEADLINE_EXCEEDED: Final = "DeadlineExceeded"  # raise spec.compression.deadlineSeconds; of a preflight: its own
COMPRESSION_FAILED: Final = "CompressionFailed"  # an unexpected error in the compressor: its log tells
CONVERTER_FAILED: Final = (
    "ConverterFailed"  # of spec.source.converter: it ended with an error, or wrote no file that can be
)
# taken; the message has its exit code and the end of its log, or what it must do: mend it and name its new digest

# --- the preflight Job of a hardware class (spec.preflight) ---
PREFLIGHT_FAILED: Final = "PreflightFailed"  # too few golden items agree there, or it is too slow: another recipe, or
# another limit (preflight.maxLatencyMilliseconds) and rollout.retryToken
LATENCY_UNVERIFIED: Final = "LatencyUnverified"  # no node of a class could be asked: label one, or bring one online,
# before the next candidate comes; nothing waits for it

# --- the compression Job's report: time may heal ---
SOURCE_UNREACHABLE: Final = "SourceUnreachable"
REGISTRY_UNREACHABLE: Final = "RegistryUnreachable"

# --- the operator: while things go on ---
COMPRESSING: Final = "Compressing"
PREFLIGHT_RUNNING: Final = (
    "PreflightRunning"  # on a node of each hardware class, before the first wave (spec.preflight)
)
ROLLING_OUT: Final = "RollingOut"
SOAKING: Final = "Soaking"
BAKING: Final = "Baking"
PUBLISHED: Final = "Published"
NODES_OFFLINE: Final = "NodesOffline"  # none is online to take the candidate; of NodesPending: some are away
PAUSED: Final = "Paused"  # spec.rollout.paused is true: set it to false to go on
ANALYSIS_INCONCLUSIVE: Final = "AnalysisInconclusive"  # too few requests or labels to decide a check: it waits for more
METRICS_UNAVAILABLE: Final = "MetricsUnavailable"  # Prometheus does not answer, or has no metrics of the nodes
CONTROL_DEGRADED: Final = "ControlDegraded"  # nodes on stable got worse, too: it waits until that is over
NO_TRAFFIC: Final = "NoTraffic"  # no request came: the golden set decides; without one it waits for requests

# --- the operator: at rest ---
SERVING: Final = "Serving"
NOT_SERVING: Final = "NotServing"
NODES_CATCHING_UP: Final = "NodesCatchingUp"
PROMOTED: Final = "Promoted"  # of a revision: it went through all waves and became stable

# --- the operator: a person must act ---
ROLLED_BACK: Final = "RolledBack"  # a candidate failed; the message has the node, or the check with both numbers
ANALYSIS_DEADLINE_EXCEEDED: Final = "AnalysisDeadlineExceeded"  # undecided until analysis.missingData.deadlineSeconds:
# send requests, mend what the message names, or set onDeadline to Proceed or RollBack; it goes on when data decide
PROGRESS_DEADLINE_EXCEEDED: Final = "ProgressDeadlineExceeded"  # no node took the candidate for progressDeadlineSeconds
NODES_FAILED: Final = "NodesFailed"  # more nodes than rollout.maxFailedNodes do not serve stable: look at those named
NO_MATCHING_NODES: Final = "NoMatchingNodes"  # placement.nodeSelector selects no node
UNSUPPORTED_ARCHITECTURE: Final = "UnsupportedArchitecture"  # the selected nodes have no image: amd64 and arm64 do
SERVICE_NAME_CONFLICT: Final = (
    "ServiceNameConflict"  # a Service of the EdgeModel's name is somebody else's: rename one of them
)
HOST_PORT_CONFLICT: Final = "HostPortConflict"  # another EdgeModel has this serving.hostPort on a shared node
CONVERTER_NOT_ALLOWED: Final = (
    "ConverterNotAllowed"  # the chart's operator.allowedConverterImages has no prefix of this image: ask
)
# whoever installed the chart to add one, or name an image that has one
OBJECT_UNREADABLE: Final = "ObjectUnreadable"  # another version wrote an object, or somebody damaged it; the message
# names it and says what to do: until then nothing of its EdgeModel is touched
SCHEMA_OUTDATED: Final = "SchemaOutdated"  # an EdgeModel or a revision of it is of an older schema: the message has the
# new names of its fields; apply the manifest with those. Until then nothing of the EdgeModel is touched
INVALID_SPEC: Final = "InvalidSpec"  # what the schema could not check

# --- why a candidate failed while nodes served it ---
ERROR_RATE_TOO_HIGH: Final = "ErrorRateTooHigh"
LATENCY_TOO_HIGH: Final = "LatencyTooHigh"
ACCURACY_TOO_LOW: Final = "AccuracyTooLow"
QUERY_OUT_OF_BOUNDS: Final = "QueryOutOfBounds"  # a PromQL check of the user's

# --- why a check is undecided and nothing waits for it ---
NO_BASELINE: Final = "NoBaseline"  # a first revision, or an artifact without a golden set

# --- why a node failed ---
GOLDEN_MISMATCH: Final = "GoldenMismatch"  # the artifact answers otherwise on this hardware
MODEL_LOAD_FAILED: Final = "ModelLoadFailed"
CRASH_LOOP: Final = "CrashLoop"
IMAGE_PULL_FAILED: Final = "ImagePullFailed"
UNSCHEDULABLE: Final = "Unschedulable"  # no node has room for the pod, or none tolerates it; the message is the
# scheduler's: free resources, or mend spec.serving.resources and spec.placement.tolerations
CONTAINER_NOT_STARTED: Final = "ContainerNotStarted"  # the kubelet cannot make or start the container; the message has
# its word (CreateContainerConfigError, RunContainerError, ...): mostly a Secret or a volume is missing
POD_EVICTED: Final = "PodEvicted"  # the kubelet ended the pod to save its node; the message says of what it ran short
POD_NOT_ADMITTED: Final = "PodNotAdmitted"  # the kubelet refused the pod: the node has not what it asks for
POD_FAILED: Final = "PodFailed"  # the kubelet ended the pod for a reason of its own, which the message has
NODE_READY_TIMEOUT: Final = "NodeReadyTimeout"
NODE_LOST: Final = "NodeLost"  # offline after its switch
