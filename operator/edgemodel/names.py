"""The names that more than one program, or a user's manifest, has to spell the same way.

Kubernetes limits: an object name that is also a label value has at most 63 characters, and so has the part of a label
key after the slash.
"""

import hashlib
import re
from functools import lru_cache

GROUP = "edgemodel.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

FIELD_MANAGER = "edgemodel-operator"

LABEL_MODEL = f"{GROUP}/model"
LABEL_REVISION = f"{GROUP}/revision"
LABEL_VARIANT = f"{GROUP}/variant"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "edgemodel-operator"
COMPONENT_COMPRESSOR = "compressor"
COMPONENT_SERVER = "server"
COMPONENT_PULLER = "puller"
COMPONENT_PREFLIGHT = "preflight"

ANNOTATION_APPLIED = f"{GROUP}/applied"
"""The hash of what the operator last applied, so that an unchanged object costs no write."""
ANNOTATION_ATTEMPT = f"{GROUP}/attempt"
"""The number of the attempt at a compression, from 1."""
ANNOTATION_SOURCE_BYTES = f"{GROUP}/source-bytes"
"""The size of the source that a compression Job's memory and disk are for, if it was known."""
ANNOTATION_SERVER_IMAGE = f"{GROUP}/server-image"
"""An annotation of compression Jobs: the server image that the artifacts are put on."""

ANNOTATION_ARTIFACT = f"{GROUP}/artifact"
"""An annotation of images and their indexes: the digest of the model inside. Only images of the compressor have it."""
ANNOTATION_TO_FREE = f"{GROUP}/to-free"
"""An annotation of the registry's Deployment: images were deleted, but their bytes are not freed yet."""
ANNOTATION_FREED = f"{GROUP}/freed"
"""An annotation of the registry's pod: the time of the last restart that freed bytes."""

PIN_PREFIX = "pin.edgemodel.node-restriction.kubernetes.io/"
"""The prefix of pins. The API server keeps kubelets from setting labels under ``*.node-restriction.kubernetes.io``."""

DEFERRAL_PREFIX = "deferral.edgemodel.node-restriction.kubernetes.io/"
"""The prefix of the labels of nodes that joined, or came back, during a rollout."""

DEFAULT_VARIANT = "default"
"""The variant of nodes that no entry of ``spec.variants`` matches."""

PULLER_PREFIX = "pull."

REGISTRY_AUDIENCE = "edgemodel-registry"

# Inside an artifact image, below MODEL_DIRECTORY.
MODEL_DIRECTORY = "/model"
MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
TOKENIZERS_LAYER = "tokenizers"
"""The named layer of the server's image with what reads TOKENIZER_FILE."""
MANIFEST_FILE = "manifest.json"
GOLDEN_FILE = "golden.npz"
REPORT_FILE = "report.md"
PAGE_FILE = "report.html"


def short_hash(text: str, length: int = 10) -> str:
    """Returns the first ``length`` hexadecimal digits of the SHA-256 of ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


@lru_cache(maxsize=4096)  # every pass asks for those of every node
def pin_key(namespace: str, model: str, revision: str, variant: str) -> str:
    """Returns the node label that makes a node run ``variant`` of ``revision``; its value is ``"true"``."""
    return PIN_PREFIX + short_hash(f"{namespace}/{model}/{revision}/{variant}", 40)


def deferral_key(namespace: str, model: str, revision: str) -> str:
    """Returns the label of a node that gets ``revision`` only once that is stable; its value is ``"true"``."""
    return DEFERRAL_PREFIX + short_hash(f"{namespace}/{model}/{revision}", 40)


def artifact_tag(fingerprint: str, variant: str) -> str:
    """Returns the tag of a compressed image in its model's repository."""
    return f"{fingerprint}-{variant}"


def is_artifact_tag(tag: str) -> bool:
    """Returns True for a tag of the form that ``artifact_tag`` returns."""
    return re.fullmatch(r"[0-9a-f]{16}-[a-z0-9-]{1,10}", tag) is not None


CHECKPOINT_TYPE = "application/vnd.edgemodel.checkpoint"
"""The type of an artifact that holds the progress of a training, in its model's repository, for the next attempt."""


def checkpoint_tag(key: str, epochs: int, digest: str) -> str:
    """Returns the tag of the checkpoint of training ``key`` (32 hexadecimal digits) after ``epochs``, a file of
    ``digest``.

    Different checkpoints have different tags.
    """
    return f"checkpoint-{key}-{epochs}-{digest.removeprefix('sha256:')[:16]}"


def checkpoint_epochs(tag: str, key: str = "[0-9a-f]{32}") -> int | None:
    """Returns the number of epochs of a tag of the form that ``checkpoint_tag`` returns, for the training ``key`` or
    for any; None for other tags."""
    found = re.fullmatch(rf"checkpoint-{key}-([0-9]{{1,9}})-[0-9a-f]{{16}}", tag)
    return int(found[1]) if found else None


def daemonset_name(revision: str, variant: str) -> str:
    """Returns the name of the immutable DaemonSet of (revision, variant).

    At most 63 characters: the schema allows 40 for a model's name and 10 for a variant's; the revision hash has 10.
    """
    if variant.startswith(PULLER_PREFIX):
        return f"pull-{short_hash(f'{revision}/{variant}', 20)}"
    return f"{revision}-{variant}"


def preflight_job_prefix(revision: str, hardware_class: str, node: str) -> str:
    """Returns the name of a preflight Job without its attempt, which has one digit: at most 62 characters."""
    return f"{revision}-{short_hash(f'{hardware_class}/{node}', 8)}-"


REPLAY_TOKEN_KEY = "token"  # noqa: S105 - the name of a key


def replay_secret_name(model: str) -> str:
    """Returns the name of the Secret with the token of shadow replay."""
    return f"{model}-replay"


def puller_of(variant: str) -> str:
    """Returns the stand-in for ``variant`` that only pulls its image to a node, before a Recreate deletes the old
    pod."""
    return PULLER_PREFIX + variant
