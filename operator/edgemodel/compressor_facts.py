"""Facts about the compressor, which the operator cannot import; ``python crds/sync.py`` writes them."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

STEP_READS: Final[Mapping[str, tuple[str, ...]]] = {
    "Auto": ("budget", "evaluation", "tuning"),
    "Distill": ("teacher",),
}
"""The fields of the CompressionRequest that each type of step reads, besides settings, source and data sets."""

STEP_DEFAULTS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "Auto": (
        "auto",
        {
            "objective": "Balanced",
            "maxTrials": 24,
            "maxSeconds": 900,
            "agreement": "Close",
            "minAgreementPercent": "99.0",
        },
    ),
    "PruneChannels": (
        "pruneChannels",
        {
            "ratioPercent": 50,
            "importance": "L1",
            "scope": "Local",
            "iterations": 1,
            "roundTo": 8,
            "epochs": 0,
            "batchSize": 128,
            "learningRate": "0.02",
            "weightDecay": "0.0005",
            "optimizer": "SGD",
            "augmentation": "None",
            "seed": 0,
        },
    ),
    "PruneLayers": (
        "pruneLayers",
        {
            "layers": 1,
        },
    ),
    "LowRank": (
        "lowRank",
        {
            "energyPercent": "95",
            "rankPercent": 0,
        },
    ),
    "PruneWeights": (
        "pruneWeights",
        {
            "sparsityPercent": 20,
            "scope": "Local",
            "epochs": 0,
            "batchSize": 128,
            "learningRate": "0.05",
            "weightDecay": "0.0005",
            "optimizer": "SGD",
            "augmentation": "None",
            "seed": 0,
        },
    ),
    "Distill": (
        "distill",
        {
            "alpha": "0.7",
            "temperature": "4",
            "intermediateWeight": "0",
            "epochs": 10,
            "batchSize": 128,
            "learningRate": "0.1",
            "weightDecay": "0.0005",
            "optimizer": "SGD",
            "augmentation": "None",
            "seed": 0,
        },
    ),
    "FineTune": (
        "fineTune",
        {
            "train": "Full",
            "trainableLayers": 2,
            "newHeadClasses": 0,
            "epochs": 10,
            "batchSize": 128,
            "learningRate": "0.05",
            "weightDecay": "0.0005",
            "optimizer": "SGD",
            "augmentation": "None",
            "seed": 0,
        },
    ),
    "AdaptDomain": (
        "adaptDomain",
        {
            "method": "DANN",
            "weight": "1",
            "targetStatistics": True,
            "epochs": 10,
            "batchSize": 128,
            "learningRate": "0.02",
            "weightDecay": "0.0005",
            "optimizer": "SGD",
            "augmentation": "None",
            "seed": 0,
        },
    ),
    "QuantizeAware": (
        "quantizeAware",
        {
            "calibrationSamples": 256,
            "reduceRange": True,
            "epochs": 3,
            "batchSize": 128,
            "learningRate": "0.005",
            "weightDecay": "0.0005",
            "optimizer": "SGD",
            "augmentation": "None",
            "seed": 0,
        },
    ),
    "ClusterWeights": (
        "clusterWeights",
        {
            "clusters": 64,
        },
    ),
    "QuantizeDynamic": (
        "quantizeDynamic",
        {
            "perChannel": True,
            "reduceRange": True,
        },
    ),
    "QuantizeStatic": (
        "quantizeStatic",
        {
            "calibrationSamples": 256,
            "calibrationMethod": "MinMax",
            "perChannel": True,
            "reduceRange": True,
        },
    ),
    "QuantizeWeights": (
        "quantizeWeights",
        {
            "bits": 8,
            "wideBits": 8,
            "headBits": 8,
            "blockSize": 32,
            "symmetric": False,
        },
    ),
    "Convert": (
        "convert",
        {
            "opset": 0,
            "precision": "Keep",
        },
    ),
}
"""The key of the settings of each type of step, and their defaults as a manifest has them."""

STREAMING_STEPS: Final = frozenset({"QuantizeWeights", "Convert"})
"""The types of steps that read one weight after the other, and hold no large model as a whole."""

EVALUATION_TASKS: Final[Mapping[str, Mapping[str, str]]] = {
    "Classification": {},
    "Detection": {},
    "Embedding": {},
    "Language": {},
    "MultiLabel": {},
    "Regression": {
        "tolerance": (
            "The largest error that still counts as correct, in the unit of the labels. Default: one tenth of the"
            " standard deviation of the labels."
        ),
    },
    "Sequence": {},
}
"""The settings of each task of evaluation, with their descriptions."""


class FormatFacts(NamedTuple):
    """The facts about a source format that operator and command line need."""

    suffix: str
    """The suffix of its file names; empty: any."""
    media_type: str
    """The artifact type of its files in a registry; empty: they cannot be pushed."""
    image: str
    """The name of the image that its Job runs, as in ``edgemodel.job_images``."""
    is_model: bool
    """False if a user's converter has to make a model of it."""


SOURCE_FORMATS: Final[Mapping[str, FormatFacts]] = {
    "ONNX": FormatFacts(".onnx", "application/vnd.edgemodel.model.v1", "compressor", True),
    "ExportedProgram": FormatFacts(".pt2", "application/vnd.edgemodel.program.v1", "trainer", True),
    "HuggingFace": FormatFacts("", "application/vnd.edgemodel.model.v1", "compressor", True),
    "Safetensors": FormatFacts(".safetensors", "application/vnd.edgemodel.weights.v1", "trainer", False),
}
"""The facts of each format by its name, as in ``spec.source.format``."""
