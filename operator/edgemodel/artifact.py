"""The artifact manifest: ``manifest.json`` beside the model file in every artifact image.

The compressor writes it. The inference server reads from it what to load and what to check at start, and people read
how the artifact compares with its source. Keys are camelCase, sizes bytes, times milliseconds. Only what the server
needs is typed here; the rest is evidence and stays a plain dictionary.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgemodel.digest import Digest, digest_of_files, parse_digest
from edgemodel.error_words import in_words
from edgemodel.json_text import parse_json
from edgemodel.names import MODEL_FILE
from edgemodel.relative_name import check_names

SCHEMA = "edgemodel.io/artifact/v1alpha1"
TOKENS_AGREEMENT: Final = "Tokens"
"""The agreement of the golden set of a decoder."""
ONNX_RUNTIME: Final = "ONNXRuntime"
"""The runtime of a manifest that names none."""


@dataclass(frozen=True)
class Tensor:
    """An input or output: ``datatype`` is one of the Open Inference Protocol (FP32, …); a dimension of -1 is open."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Golden:
    """The golden set: ``golden.npz`` holds ``input.<name>`` and ``output.<name>`` arrays, first axis the items.

    ``agreement`` is Argmax (class of the first output) or Close (the root mean square error of
    every output, in spreads of its channels over all items, is at most ``tolerance``). With Tokens it holds the arrays
    of ``edge_runtime.golden_tokens``, and the items are the places that are judged.
    """

    items: int
    agreement: str
    tolerance: float
    min_percent: str
    """The smallest share of items that must agree on the node, a decimal string in 0..100."""


@dataclass(frozen=True)
class TransformSpec:
    """One step of pre- and post-processing between the codec of requests and the model."""

    type: str
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings, JSON as the type of the transform defines them."""

    def to_json(self) -> dict[str, Any]:
        """Returns the transform as the manifest has it."""
        return {"type": self.type, "settings": self.settings}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "TransformSpec":
        """Returns the transform. Raises KeyError, TypeError, ValueError or AttributeError for an invalid one."""
        return cls(str(value["type"]), dict(value.get("settings", {})))


@dataclass(frozen=True)
class ArtifactFile:
    """A file of an artifact."""

    digest: Digest
    size_bytes: int


def digest_of_model(files: Mapping[str, ArtifactFile]) -> Digest:
    """Returns the digest of a model from its ``files`` by name: that of its only file, or that of the set."""
    if len(files) == 1:
        return next(iter(files.values())).digest
    return digest_of_files({name: file.digest for name, file in files.items()})


@dataclass(frozen=True)
class ArtifactManifest:
    """The contents of the manifest of one artifact."""

    model: str
    fingerprint: str
    variant: str
    source_digest: str
    artifact_digest: str
    """The digest of the model file, or of all files of a model that has several (``digest_of_model``)."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    golden: Golden | None
    runtime: str = ONNX_RUNTIME
    """The name of the back end that loads the model file."""
    model_file: str = MODEL_FILE
    """The name of the model file, which lies beside the manifest."""
    transforms: tuple[TransformSpec, ...] = ()
    """The transforms, outermost first; ``inputs``, ``outputs`` and the golden set are those of the model behind
    them."""
    files: Mapping[str, ArtifactFile] = field(default_factory=dict)
    """The files of the artifact by their relative names: model, weights, tokenizer and the like. The server checks each
    before it loads the model, and accepts no others in the folder. Empty: the model is one file, which has
    ``artifact_digest``."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """The evidence for the report: source, artifact, steps, datasets, libraries, evaluation, budget, hardware."""

    def encode(self) -> bytes:
        """Returns the manifest as indented JSON. Raises ValueError for NaN or infinity in the evidence."""
        golden = self.golden
        value = {
            "schema": SCHEMA,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "variant": self.variant,
            "sourceDigest": self.source_digest,
            "artifactDigest": self.artifact_digest,
            "runtime": self.runtime,
            "modelFile": self.model_file,
            "files": {name: {"digest": one.digest, "sizeBytes": one.size_bytes} for name, one in self.files.items()},
            "transforms": [transform.to_json() for transform in self.transforms],
            "inputs": [_tensor_json(tensor) for tensor in self.inputs],
            "outputs": [_tensor_json(tensor) for tensor in self.outputs],
            "golden": golden
            and {
                "items": golden.items,
                "agreement": golden.agreement,
                "tolerance": golden.tolerance,
                "minPercent": golden.min_percent,
            },
            **self.evidence,
        }
        return json.dumps(value, indent=2, sort_keys=True, allow_nan=False).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> "ArtifactManifest":
        """Raises ValueError if ``data`` is not an artifact manifest of SCHEMA."""
        value = parse_json(data)
        try:
            if value["schema"] != SCHEMA:
                raise ValueError(f"artifact manifest has schema {value['schema']!r}, want {SCHEMA!r}")
            golden = value["golden"]
            model_file = _text({"modelFile": MODEL_FILE, **value}, "modelFile")
            if "/" in model_file or model_file in ("", ".", ".."):
                raise ValueError(f"modelFile is {model_file!r}, want the name of a file beside the manifest")
            return cls(
                model=_text(value, "model"),
                fingerprint=_text(value, "fingerprint"),
                variant=_text(value, "variant"),
                source_digest=_text(value, "sourceDigest"),
                artifact_digest=_text(value, "artifactDigest"),
                inputs=tuple(_tensor(item) for item in value["inputs"]),
                outputs=tuple(_tensor(item) for item in value["outputs"]),
                golden=golden
                and Golden(golden["items"], golden["agreement"], golden["tolerance"], golden["minPercent"]),
                runtime=_text({"runtime": ONNX_RUNTIME, **value}, "runtime"),
                model_file=model_file,
                files=_files(value.get("files", {}), model_file),
                transforms=tuple(TransformSpec.from_json(item) for item in value.get("transforms", [])),
                evidence={key: value[key] for key in value.keys() - _TYPED},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"artifact manifest: {in_words(error)}") from error


_TYPED: Final = frozenset(
    {
        "schema", "model", "fingerprint", "variant", "sourceDigest", "artifactDigest", "runtime", "modelFile",
        "files", "transforms", "inputs", "outputs", "golden",
    }
)  # fmt: skip


def _text(value: dict[str, Any], key: str) -> str:
    """Returns the text under ``key``. Raises KeyError and ValueError."""
    if not isinstance(value[key], str):
        raise ValueError(f"artifact manifest: {key} is {value[key]!r}, want a text")
    return str(value[key])


def _files(value: Any, model_file: str) -> dict[str, ArtifactFile]:
    """Raises ValueError for names that do not belong into one folder, and for a set without the model file."""
    files = {name: ArtifactFile(parse_digest(one["digest"]), int(one["sizeBytes"])) for name, one in value.items()}
    check_names(files)
    if files and model_file not in files:
        raise ValueError(f"artifact manifest: files has no {model_file}")
    return files


def _tensor_json(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _tensor(value: dict[str, Any]) -> Tensor:
    return Tensor(value["name"], value["datatype"], tuple(value["shape"]))
