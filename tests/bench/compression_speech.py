"""Part (c): ten spoken words, with a student that learns from its teacher, and a model that is adapted to another
synthesiser.

Training data come from espeak-ng, in many voices, rates and pitches; those of the other domain from flite. The training
does not get the labels of the other domain, which only measure. Features are 32 mel bands in 48 frames of 20 ms.
"""

import hashlib
import inspect
import io
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_compressor import pipeline
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.fetcher import Fetcher
from edgemodel.compression_request import EXPORTED_PROGRAM, CompressionRequest, Recipe, Source
from tests.bench.compression_fashion import step
from tests.bench.prerequisites import DebianPackage

Array = NDArray[Any]

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
RATE, BANDS, FRAMES, HOP, WINDOW = 16_000, 32, 48, 320, 512
ESPEAK = tuple(
    f"{accent}{voice}"
    for accent in ("en", "en-us", "en-gb-scotland")
    for voice in ("", "+m1", "+m3", "+m5", "+f1", "+f3", "+f5")
)
FLITE = ("awb", "kal16", "rms", "slt")
TRAIN_VARIANTS, TEST_VARIANTS = 16, 6
"""The numbers of samples of each word and voice, with different rates, pitches and noise."""
EPOCHS = 12
ADAPT_EPOCHS = 30
STUDENT = {"epochs": EPOCHS, "learningRate": "0.1", "augmentation": "Shift"}
"""The settings of the student, with as many epochs as the teacher had."""
PREREQUISITES = tuple(
    DebianPackage(name, name, "part speech, on synthesised words,") for name in ("espeak-ng", "flite")
)


@dataclass(frozen=True)
class Run:
    """The figures of one model."""

    what: str
    parameters: int
    accuracy_percent: float
    other_domain_percent: float


def run(folder: Path, cache: Path, progress: Progress) -> tuple[list[dict[str, Any]], list[Run]]:
    """Returns (targets, runs)."""
    files = _files(cache, progress)
    runs = [Run("teacher", *_as_it_is(files, "teacher", folder, progress))]
    alone = step("FineTune", **STUDENT)
    runs.append(Run("student, FineTune by labels", *_measure(files, "blank", (alone,), folder / "alone", progress)))
    distil = step("Distill", **STUDENT)
    taught = _measure(files, "blank", (distil,), folder / "distil", progress, teacher=files["teacher"])
    runs.append(Run("student, Distill from the teacher", *taught))
    teacher = runs[0]
    for method in ("None", "DANN", "MMD", "CORAL"):
        adapt = step("AdaptDomain", method=method, epochs=ADAPT_EPOCHS, augmentation="Shift")
        adapted = _measure(files, "teacher", (adapt,), folder / method, progress)
        runs.append(Run(f"teacher, AdaptDomain {method}", *adapted))
    _show(runs)
    lost = teacher.accuracy_percent - teacher.other_domain_percent
    best = max(one.other_domain_percent for one in runs[3:])
    return [
        {
            "name": "speech: of the loss in the other domain, recovered",
            "goal": ">= 50",
            "value": round((best - teacher.other_domain_percent) / lost * 100, 1),
            "unit": "%",
            "holds": best - teacher.other_domain_percent >= lost / 2,
        },
        {
            "name": "speech: distilled student, below its teacher",
            "goal": "<= 2",
            "value": round(teacher.accuracy_percent - runs[2].accuracy_percent, 2),
            "unit": "points",
            "holds": teacher.accuracy_percent - runs[2].accuracy_percent <= 2,
        },
    ], runs


def _show(runs: Sequence[Run]) -> None:
    print(f"\n{'':36}{'parameters':>12}{'same voices':>13}{'other synthesiser':>19}")
    for one in runs:
        print(f"{one.what:36}{one.parameters:12,}{one.accuracy_percent:11.1f} %{one.other_domain_percent:17.1f} %")
    sys.stdout.flush()


def _as_it_is(files: Mapping[str, Path], source: str, folder: Path, progress: Progress) -> tuple[int, float, float]:
    return _measure(files, source, (), folder / f"as-{source}", progress)


def _measure(
    files: Mapping[str, Path], source: str, steps: Sequence[dict[str, Any]], work: Path, progress: Progress,
    *, teacher: Path | None = None,
) -> tuple[int, float, float]:  # fmt: skip
    """Returns the artifact's (parameters, percent right in the same domain, percent right in the other)."""
    import onnx
    import onnxruntime

    request = CompressionRequest(
        source=Source(str(files[source]), format=EXPORTED_PROGRAM),
        datasets={use: Source(str(files[use])) for use in ("training", "unlabeled", "evaluation")},
        recipes=(Recipe("default", tuple(steps)),),
        teacher=Source(str(teacher), format=EXPORTED_PROGRAM) if teacher else None,
    )
    fetcher = Fetcher(RegistryAccess(), progress, local_paths=True)
    (made,) = pipeline.run(request, "speech", fetcher, work / "work", progress)
    path = made.folder / "model.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    right = []
    for name in ("evaluation", "elsewhere"):
        with np.load(files[name]) as arrays:
            answers: Any = session.run(None, {"sound": arrays["sound"]})[0]
            right.append(float((answers.argmax(1) == arrays["label"]).mean() * 100))
    count = sum(int(np.prod(tensor.dims)) for tensor in onnx.load(path).graph.initializer)
    return count, right[0], right[1]


def _files(cache: Path, progress: Progress) -> dict[str, Path]:
    made_by = (_files, _train, _words, _say, _varied, _features, _bank)
    recipe = "".join(map(inspect.getsource, made_by)) + repr(
        (WORDS, ESPEAK, FLITE, EPOCHS, TRAIN_VARIANTS, TEST_VARIANTS, BANDS, FRAMES, HOP, WINDOW)
    )
    folder = cache / f"speech-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    files = {name: folder / f"{name}.npz" for name in ("training", "evaluation", "unlabeled", "elsewhere")}
    files |= {name: folder / f"{name}.pt2" for name in ("teacher", "blank")}
    if not all(path.exists() for path in files.values()):
        folder.mkdir(parents=True, exist_ok=True)
        progress.say("synthesising words")
        spoken = {
            "training": _words("espeak-ng", ESPEAK, TRAIN_VARIANTS, 1),
            "evaluation": _words("espeak-ng", ESPEAK, TEST_VARIANTS, 2),
            "unlabeled": _words("flite", FLITE, 4 * TRAIN_VARIANTS, 3),
            "elsewhere": _words("flite", FLITE, 4 * TEST_VARIANTS, 4),
        }
        for name, (sounds, labels) in spoken.items():
            np.savez(files[name], sound=sounds, **({} if name == "unlabeled" else {"label": labels}))
        progress.say("training the teacher")
        _train(files, *spoken["training"])
    return files


def _train(files: Mapping[str, Path], sounds: Array, labels: Array) -> None:
    import torch
    from torch import nn

    def network(width: int) -> nn.Module:
        def block(inputs: int, outputs: int, stride: int) -> nn.Module:
            convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())

        return nn.Sequential(
            block(1, width, 2), block(width, 2 * width, 2), block(2 * width, 2 * width, 1),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(2 * width, len(WORDS)),
        )  # fmt: skip

    def export(module: nn.Module, path: Path) -> None:
        class Named(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = module

            def forward(self, sound: torch.Tensor) -> torch.Tensor:
                answer: torch.Tensor = self.body(sound)
                return answer

        shapes = {"sound": {0: torch.export.Dim("batch")}}
        example = (torch.zeros(2, 1, BANDS, FRAMES),)
        torch.export.save(torch.export.export(Named().eval(), example, dynamic_shapes=shapes), path)

    torch.manual_seed(0)
    torch.set_num_threads(2)
    export(network(8), files["blank"])
    inputs, targets = torch.from_numpy(sounds), torch.from_numpy(labels)
    module = network(32)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = EPOCHS * (len(inputs) // 128)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(inputs))
        for at in range(len(inputs) // 128):
            rows = order[at * 128 : (at + 1) * 128]
            loss = nn.functional.cross_entropy(module(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
    export(module, files["teacher"])


def _words(program: str, voices: Sequence[str], variants: int, seed: int) -> tuple[Array, Array]:
    """Returns features [n, 1, BANDS, FRAMES] and the numbers of the words."""
    random = np.random.default_rng(seed)
    asked = [
        (word, voice, int(random.integers(110, 220)), int(random.integers(25, 75)))
        for word in range(len(WORDS)) for voice in voices for _ in range(max(1, variants // 4))
    ]  # fmt: skip
    with ThreadPoolExecutor(4) as pool:
        sounds = list(pool.map(lambda one: _say(program, WORDS[one[0]], *one[1:]), asked))
    features, labels = [], []
    for (word, *_), sound in zip(asked, sounds, strict=True):
        for varied in _varied(sound, 4, random):
            features.append(_features(varied))
            labels.append(word)
    return np.stack(features)[:, None].astype(np.float32), np.array(labels, np.int64)


def _say(program: str, word: str, voice: str, rate: int, pitch: int) -> Array:
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        if program == "espeak-ng":
            command = ["espeak-ng", "-v", voice, "-s", str(rate), "-p", str(pitch), "-w", file.name, word]
        else:
            stretch = f"duration_stretch={165 / rate:.2f}"
            mean = f"int_f0_target_mean={60 + 2 * pitch}"
            command = ["flite", "-voice", voice, "--setf", stretch, "--setf", mean, "-t", word, "-o", file.name]
        subprocess.run(command, check=True, capture_output=True)
        data = Path(file.name).read_bytes()
    with wave.open(io.BytesIO(data)) as opened:
        own_rate, samples = opened.getframerate(), np.frombuffer(opened.readframes(opened.getnframes()), "<i2")
    places = np.arange(0, len(samples) - 1, own_rate / RATE)
    sound = np.interp(places, np.arange(len(samples)), samples)
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    return np.asarray(sound[loud[0] : loud[-1] + 1] / np.abs(sound).max())


def _varied(sound: Array, count: int, random: np.random.Generator) -> Iterator[Array]:
    length = (FRAMES - 1) * HOP + WINDOW
    for _ in range(count):
        whole = random.normal(0, 10 ** random.uniform(-4, -2), length)
        kept = sound[:length]
        start = int(random.integers(0, length - len(kept) + 1))
        whole[start : start + len(kept)] += kept * 10 ** random.uniform(-0.5, 0)
        yield whole


def _features(sound: Array) -> Array:
    """Returns the logarithm of the energy in BANDS mel bands minus each band's mean, [BANDS, FRAMES]."""
    places = np.arange(FRAMES)[:, None] * HOP + np.arange(WINDOW)
    power = np.abs(np.fft.rfft(sound[places] * np.hanning(WINDOW))) ** 2
    bands = np.log(power @ _BANK + 1e-3).T / 4
    return np.asarray(bands - bands.mean(axis=1, keepdims=True))


def _bank() -> Array:
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(WINDOW, 1 / RATE)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None))


_BANK = _bank()
