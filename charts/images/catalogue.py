"""The images and the named layers, and what is in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgemodel import job_images
from edgemodel.job_images import JobImage
from edgemodel.names import TOKENIZERS_LAYER

from . import debian
from .debian import Debian

BOTH = tuple(f"linux/{architecture}" for architecture in job_images.ARCHITECTURES)


def platforms_of(image: JobImage) -> tuple[str, ...]:
    """Returns the platforms that the image of a Job is built for."""
    return tuple(f"linux/{architecture}" for architecture in image.architectures)


@dataclass(frozen=True)
class Wheels:
    """The Python packages of one layer: ``.ci/locks/<lock>.txt`` without those that its program never imports."""

    lock: str
    dropped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The packages of the lock that are not installed, by the reason."""
    pruned: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The patterns of files that are deleted, by the reason."""
    emptied: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The files that are emptied, by the reason."""
    left_as_sources: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The packages that are not compiled, by the reason; bytecode starts faster, but is larger."""
    upon: str | None = None
    """The lock of a layer below, whose packages are not installed again; None: there is none."""
    keeps_sources: bool = False
    """True if sources are kept beside the bytecode, for packages that read their own."""
    torch_for_cpu: bool = False
    """True if torch is installed without its parts for GPUs (torch_cpu.py)."""


@dataclass(frozen=True)
class Image:
    """An image: a base of Debian, Python packages and our own code."""

    name: str
    description: str
    base: Debian
    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()
    wheels: tuple[Wheels, ...] = ()
    """The Python packages, one layer each, lowest first."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The variables that it has besides those of every image."""
    code: tuple[str, ...] = ()
    """Our own packages, as folders of the repository; the image has them below /app."""
    platforms: tuple[str, ...] = BOTH
    released: bool = True
    """False for an image of the lab, which is not released."""


@dataclass(frozen=True)
class NamedLayer:
    """Layers that are put on the images of one base: a runtime, a decoder, a tokenizer.

    They are built, checked and published once per architecture. The compressor puts those that an artifact needs
    between the base and the model, so that variants of images add up instead of multiplying.
    """

    name: str
    """The name by which an artifact asks for it, which is also that of its repository."""
    description: str
    upon: Image
    """The image that lies below, and in which the layer is checked."""
    wheels: tuple[Wheels, ...] = ()
    """The Python packages, one layer each, lowest first; ``upon`` of the first names a lock of the image below."""
    code: tuple[str, ...] = ()
    """Our own packages, as folders of the repository; the image has them below /app, beside those of the base."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The variables that it adds to those of the base."""
    platforms: tuple[str, ...] = BOTH
    released: bool = True
    """False for a layer of the lab, which is not released."""


_NUMPY = {
    "numpy: for compiling against it and for Fortran": [
        "numpy/f2py", "numpy/distutils", "numpy/_core/include", "numpy/_core/lib", "numpy/random/lib",
        "numpy/random/_examples",
    ],
    "numpy: for its own tests": [
        "numpy/_core/_simd*.so", "numpy/_core/_*_tests*.so", "numpy/_pyinstaller", "numpy/ma/testutils.py",
    ],
}  # fmt: skip
_TOKENIZERS = {"tokenizers: to draw tokens": ["tokenizers/tools"]}
_ONNXRUNTIME = {
    "a second copy of the runtime: the Python module does not link it": ["onnxruntime/capi/libonnxruntime.so*"],
    "model zoo, samples, other languages' back end": ["onnxruntime/backend", "onnxruntime/datasets"],
}

_NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}
"""The variable that keeps onnxruntime, on Linux too, from reporting machine and model to its makers."""

SERVER = Image(
    name="server",
    description="Serves one ONNX model by the Open Inference Protocol",
    base=debian.PYTHON,
    wheels=(
        Wheels(
            lock="server",
            dropped={
                "onnxruntime imports these only to convert and quantize": ["flatbuffers", "packaging", "protobuf"]
            },
            pruned={
                **_NUMPY,
                **_ONNXRUNTIME,
                "tools that change models; the compressor has them": [
                    "onnxruntime/tools",
                    "onnxruntime/transformers",
                    "onnxruntime/quantization",
                ],
                "numpy: types for type checkers": ["numpy/typing"],
                "numpy: loaded on demand, and no request demands them": [
                    "numpy/random",
                    "numpy/fft",
                    "numpy/ma",
                    "numpy/polynomial",
                ],
            },
        ),
    ),
    environment=_NO_TELEMETRY,
    code=("inference_server", "operator/edge_runtime", "operator/edgemodel"),
    entrypoint=("/usr/bin/python3", "-m", "inference_server"),
)

OPERATOR = Image(
    name="operator",
    description="Rolls compressed models out to edge nodes",
    base=debian.PYTHON,
    wheels=(
        Wheels(
            lock="operator",
            dropped={
                "only the synchronous half of kubernetes imports them": [
                    "charset-normalizer", "durationpy", "oauthlib", "requests", "requests-oauthlib", "websocket-client",
                ],
                "edge_oci takes the system's certificates": ["certifi"],
                "needed to build cffi's users, not to run them": ["pycparser"],
            },
            pruned={
                "the synchronous half of kubernetes: the operator imports kubernetes.aio": [
                    f"kubernetes/{name}"
                    for name in (
                        "client", "config", "dynamic", "informer", "leaderelection", "stream", "utils", "watch",
                    )
                ],
                "pydantic: its former version": ["pydantic/v1", "pydantic/mypy.py"],
                "typed APIs and models, which load on demand: the operator speaks raw dictionaries": [
                    "kubernetes/aio/client/api/*_api.py",
                    "kubernetes/aio/client/models/*[!_].py",
                ],
            },
            emptied={"it imports the synchronous half": ["kubernetes/__init__.py"]},
        ),
    ),
    code=("operator/edge_operator", "operator/edge_oci", "operator/edge_statistics", "operator/edgemodel"),
    entrypoint=("/usr/bin/python3", "-m", "edge_operator"),
)  # fmt: skip

COMPRESSOR = Image(
    name=job_images.COMPRESSOR.name,
    description="Compresses a model, judges it and publishes it as an image",
    base=debian.PYTHON,
    wheels=(
        Wheels(
            lock="compressor",
            left_as_sources={
                "only CleanGraph imports them: 5 MB less to pull is worth more than a second of one step": [
                    "sympy",
                    "mpmath",
                    "onnxslim",
                ],
            },
            dropped={"colours for Windows": ["colorama"]},
            pruned={
                **_NUMPY,
                **_ONNXRUNTIME,
                "tools for phones and for training; quantization needs the shape inference": [
                    "onnxruntime/tools/[!_s]*",
                ],
                "sympy: shape inference asks nothing of these": [
                    f"sympy/{name}"
                    for name in (
                        "categories",
                        "crypto",
                        "diffgeom",
                        "holonomic",
                        "liealgebras",
                        "physics",
                        "stats",
                        "vector",
                    )
                ],
                "a shell, manual pages": ["isympy.py", "share"],
                **_TOKENIZERS,
                "numpy: loaded on demand, and no step demands it": ["numpy/polynomial"],
                "onnx: for compiling against it, and to test it": ["onnx/*.proto", "onnx/fuzz"],
            },
        ),
    ),
    environment=_NO_TELEMETRY,
    code=(
        "operator/edge_compressor",
        "operator/edge_oci",
        "operator/edge_runtime",
        "operator/edge_statistics",
        "operator/edgemodel",
    ),
    platforms=platforms_of(job_images.COMPRESSOR),
    entrypoint=("/usr/bin/python3", "-m", "edge_compressor"),
)

TRAINER = Image(
    name=job_images.TRAINER.name,
    description="The compressor with torch, for steps that train",
    base=debian.PYTHON,
    wheels=(
        *COMPRESSOR.wheels,
        Wheels(
            lock="trainer",
            upon="compressor",
            # torch.jit and onnxscript read the functions that they translate.
            keeps_sources=True,
            torch_for_cpu=True,
            dropped={
                "torch needs them to compile kernels and to save to remote places": [
                    "fsspec",
                    "jinja2",
                    "markupsafe",
                    "setuptools",
                ],
            },
            pruned={
                "torch: for compiling against it": ["torch/include", "torch/share", "torch/bin/protoc*"],
                "torch: libraries that only a GPU asks for": [
                    "torch/lib/libtorch_cuda_linalg.so",
                    "torch/lib/libcaffe2_nvrtc.so",
                ],
                "torch: for its own tests, but for what it imports itself": [
                    f"torch/testing/_internal/{name}"
                    for name in ("common_[!d]*", "py312*", "*_db.py", "generated", "opinfo", "optests", "test_module")
                ],
            },
        ),
    ),
    environment=_NO_TELEMETRY,
    code=COMPRESSOR.code,
    entrypoint=COMPRESSOR.entrypoint,
    platforms=platforms_of(job_images.TRAINER),
)

REGISTRY = Image(
    name="registry",
    description="CNCF Distribution, for the lab",
    base=debian.program("docker-registry", "usr/bin/docker-registry", "registry"),
    entrypoint=("/bin/registry",),
    command=("serve", "/etc/docker/registry/config.yml"),
    platforms=("linux/amd64",),
    released=False,
)

PROMETHEUS = Image(
    name="prometheus",
    description="Prometheus, for the lab",
    base=debian.program("prometheus", "usr/bin/prometheus", "prometheus"),
    entrypoint=("/bin/prometheus",),
    command=("--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"),
    platforms=("linux/amd64",),
    released=False,
)

IMAGES = {image.name: image for image in (SERVER, OPERATOR, COMPRESSOR, TRAINER, REGISTRY, PROMETHEUS)}

TOKENIZERS = NamedLayer(
    name=TOKENIZERS_LAYER,
    description="Reads texts as tokens, and chat templates, for language models",
    upon=SERVER,
    wheels=(
        Wheels(
            lock="generation",
            upon="server",
            pruned=_TOKENIZERS,
        ),
    ),
)

NAMED_LAYERS: dict[str, NamedLayer] = {layer.name: layer for layer in (TOKENIZERS,)}
"""The named layers by name."""
