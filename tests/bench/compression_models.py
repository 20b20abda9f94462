"""Pretrained models from packages of PyPI, with generated data: real text, synthesised speech, rendered lines.

Each case says what its labels are. Of the packages only Pillow, which draws, is run.
"""

import ast
import importlib.metadata
import io
import re
import subprocess
import sys
import sysconfig
import unicodedata
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from tests.bench import minilm
from tests.bench.packaged_models import MAGIKA, MINILM, OCR, PILLOW, SILERO, packaged
from tests.bench.prerequisites import DebianPackage, Prerequisite, PyPIFile

ROOT = Path(__file__).resolve().parents[2]
Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]


@dataclass(frozen=True)
class Case:
    """A model with its data sets, its task and the accuracy that it may lose."""

    name: str
    model: Path
    evaluation: Arrays
    calibration: Arrays
    limit_percent: Decimal
    """The largest drop of accuracy, or of agreement if there is no label."""
    by_hand: tuple[dict[str, Any], ...]
    """The recipes of one step each that somebody would try who knows the model."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings of Auto."""
    states: dict[str, str] = field(default_factory=dict)
    """The states, as in ``edge_compressor.datasets.Dataset.states``; if there are any, samples are sequences."""


def magika(folder: Path, cache: Path) -> Case:
    """Returns the case of generated files of 33 types; the labels are the source's own answers."""
    model = packaged(MAGIKA, cache)
    program = ROOT / "examples/magika/make_data.py"
    options = ["--output", str(folder), "--evaluation", "2400"]
    subprocess.run([sys.executable, str(program), str(model), *options], check=True)
    return Case(
        "Magika",
        model,
        dict(np.load(folder / "evaluation.npz")),
        dict(np.load(folder / "calibration.npz")),
        Decimal("2.0"),
        (
            {"type": "QuantizeStatic", "settings": {"opTypes": ["Conv"], "calibrationMethod": "Percentile"}},
            {"type": "QuantizeDynamic", "settings": {"opTypes": ["MatMul"]}},
        ),
    )


TOPICS, SENTENCES, TOKENS = 8, 800, 32


def text(folder: Path, cache: Path) -> Case:
    """Returns MiniLM as a classifier of sentences by the nearest of 8 mean embeddings; the label is the package that a
    sentence documents.

    The means are of a third of the sentences, which are not in the other sets.
    """
    weights = packaged(MINILM, cache)
    words = (weights.parent / "vocab.txt").read_text().splitlines()
    vocabulary = {word: number for number, word in enumerate(words)}
    tokens, label = [], []
    for topic, sentences in enumerate(_documentation()):
        tokens += [_tokens(sentence, vocabulary) for sentence in sentences]
        label += [topic] * len(sentences)
    order = np.random.default_rng(0).permutation(len(tokens))
    ids, labels = np.array(tokens, np.int64)[order], np.array(label, np.int64)[order]
    feeds = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64), "token_type_ids": np.zeros_like(ids)}
    third = len(ids) // 3
    embedding = minilm.export(weights, folder / "embedding.onnx")
    model = _nearest_mean(embedding, {name: array[:third] for name, array in feeds.items()}, labels[:third], folder)
    return Case(
        "MiniLM",
        model,
        {**{name: array[third:] for name, array in feeds.items()}, "label": labels[third:]},
        {name: array[: third // 4] for name, array in feeds.items()},
        Decimal("1.5"),
        ({"type": "QuantizeDynamic", "settings": {}}, {"type": "QuantizeDynamic", "settings": {"opTypes": ["MatMul"]}}),
    )


def _documentation() -> Iterator[list[str]]:
    """Yields sentences of docstrings, from the first installed packages by name that have enough."""
    found: dict[str, list[str]] = {}
    for package in sorted(Path(sysconfig.get_paths()["purelib"]).iterdir()):
        if not (package / "__init__.py").exists() or package.name.startswith("_"):
            continue
        sentences: dict[str, None] = {}
        for file in sorted(package.rglob("*.py"))[:600]:
            sentences |= dict.fromkeys(_sentences(file))
            if len(sentences) >= SENTENCES:
                found[package.name] = list(sentences)[:SENTENCES]
                break
        if len(found) == TOPICS:
            break
    if len(found) < TOPICS:
        raise SystemExit(f"only {len(found)} installed packages have {SENTENCES} sentences of documentation")
    return iter(found.values())


def _sentences(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_text(errors="ignore"))
    except (SyntaxError, ValueError):
        return
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        words = (ast.get_docstring(node) or "").split("\n\n")[0] if isinstance(node, documented) else ""
        if len(words.split()) >= 6:
            yield " ".join(words.split())


def _tokens(sentence: str, vocabulary: dict[str, int]) -> list[int]:
    """Returns the tokens of BERT's WordPiece: lower case, no accents, the longest known pieces of each word."""
    plain = unicodedata.normalize("NFD", sentence.lower())
    words = re.findall(r"\w+|[^\w\s]", "".join(c for c in plain if unicodedata.category(c) != "Mn"))
    pieces: list[int] = []
    for word in words:
        start, found = 0, []
        while start < len(word):
            ends = (end for end in range(len(word), start, -1) if _piece(word, start, end) in vocabulary)
            end = next(ends, 0)
            if not end:
                found = [vocabulary["[UNK]"]]
                break
            found.append(vocabulary[_piece(word, start, end)])
            start = end
        pieces += found
    cut = [vocabulary["[CLS]"], *pieces[: TOKENS - 2], vocabulary["[SEP]"]]
    return cut + [vocabulary["[PAD]"]] * (TOKENS - len(cut))


def _piece(word: str, start: int, end: int) -> str:
    return ("##" if start else "") + word[start:end]


def _nearest_mean(embedding: Path, feeds: Arrays, labels: Array, folder: Path) -> Path:
    """Adds ``scores`` [N, topics]: the product of the embedding and each topic's mean, without what all have in
    common."""
    session = onnxruntime.InferenceSession(str(embedding), providers=["CPUExecutionProvider"])
    parts = [{name: array[start : start + 32] for name, array in feeds.items()} for start in range(0, len(labels), 32)]
    vectors = np.concatenate([np.asarray(session.run(None, part)[0]) for part in parts])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    means = np.stack([vectors[labels == topic].mean(0) for topic in range(TOPICS)]) - vectors.mean(0)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    model = onnx.load(embedding)
    model.graph.initializer.append(numpy_helper.from_array(means.T.astype(np.float32).copy(), "means"))
    model.graph.node.append(helper.make_node("MatMul", ["embedding", "means"], ["scores"], name="nearest"))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["N", TOPICS]))
    onnx.save(model, folder / "minilm.onnx")
    return folder / "minilm.onnx"


FRAME, CONTEXT, RATE = 512, 64, 16_000
FRAMES, TAKES = 128, 2
SPOKEN = (
    "the pressure in the second line is above its limit", "please open the left valve and wait for the signal",
    "camera four has lost its connection", "the belt will stop in twenty seconds", "all sensors answer again",
    "who has changed the settings of the motor", "nothing was found on the table", "the battery is almost empty",
    "turn the light in the hall off", "read the last message once more", "there is water on the floor of the cellar",
    "seven parts of nine have passed the test", "the door was opened at half past three", "call the night shift",
)  # fmt: skip
VOICES = ("en-us", "en-gb+f3", "en-us+m4", "en-gb-scotland+f2", "de+m2", "fr+f4", "es+m3")


def speech(folder: Path, cache: Path) -> Case:
    """Returns Silero VAD over sequences of 4 s, each model with its own state; the label says whether a voice is in the
    frame.

    The labels are known by construction: noise, and at known places a sentence of espeak-ng in one of 7 voices. Frames
    in which the voice begins, ends or pauses have no label.
    """
    model = packaged(SILERO, cache)
    random = np.random.default_rng(0)
    streams = [
        _stream(_spoken(sentence, voice), random) for sentence in SPOKEN for voice in VOICES for _ in range(TAKES)
    ]
    order = random.permutation(len(streams))
    arrays = {
        "input": np.stack([_framed(streams[row][0]) for row in order]),
        "sr": np.full((len(streams), FRAMES), RATE, np.int64),
        "label": np.stack([streams[row][1] for row in order]).astype(np.int64),
    }
    return Case(
        "Silero VAD",
        model,
        {name: array[8:] for name, array in arrays.items()},
        {name: array[:8] for name, array in arrays.items() if name != "label"},
        Decimal("1.0"),
        ({"type": "QuantizeDynamic", "settings": {}},),
        states={"state": "stateN"},
    )


def _framed(sound: Array) -> Array:
    """Returns [FRAMES, 1, CONTEXT + FRAME]: each frame after the end of the previous one, as the model takes it."""
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), sound])
    return np.stack([padded[start : start + CONTEXT + FRAME] for start in range(0, FRAMES * FRAME, FRAME)])[:, None]


def _spoken(sentence: str, voice: str) -> Array:
    """Returns float samples at 16 kHz, the loudest 0.5."""
    done = subprocess.run(["espeak-ng", "-v", voice, "--stdout", sentence], capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as file:
        rate = file.getframerate()
    data = done.stdout[done.stdout.index(b"data") + 8 :]  # the header of a stream has no valid length
    samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32)
    places = np.arange(0, len(samples) - 1, rate / RATE)
    resampled = np.interp(places, np.arange(len(samples)), samples)
    return (resampled / np.abs(resampled).max() / 2).astype(np.float32)


def _stream(voice: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """Returns FRAMES of noise with ``voice`` in it, and for each frame 1: voice, 0: none, -1: undefined."""
    before = int(random.integers(10, 40)) * FRAME
    sound = np.concatenate([np.zeros(before, np.float32), voice, np.zeros(FRAMES * FRAME, np.float32)])
    sound = sound[: FRAMES * FRAME]
    loud = np.sqrt(np.square(sound.reshape(FRAMES, FRAME)).mean(1))
    voiced = np.where(loud > 0.05, 1, np.where(loud > 0, -1, 0))
    near = np.convolve(np.abs(voiced), np.ones(9), "same") > 0  # the detector reacts to the end with a delay
    voiced[(voiced == 0) & near] = -1
    first = np.flatnonzero(voiced == 1)[:3]
    voiced[first] = -1
    noise = random.normal(0, np.exp(random.uniform(np.log(0.003), np.log(0.15))), len(sound))
    return sound + noise.astype(np.float32), voiced


HEIGHT, WIDTH = 48, 320


def lines(folder: Path, cache: Path) -> Case:
    """Returns PP-OCR's recognition of rendered lines of text, without labels: artifact and source should read the
    same."""
    model = packaged(OCR, cache)
    images = _rendered(800 + 64, cache)
    return Case(
        "PP-OCR recognition",
        model,
        {"x": images[64:]},
        {"x": images[:64]},
        Decimal("2.0"),
        (
            {"type": "QuantizeStatic", "settings": {}},
            {"type": "QuantizeStatic", "settings": {"opTypes": ["Conv", "MatMul"]}},
            {"type": "QuantizeDynamic", "settings": {}},
        ),
        {"agreement": "Argmax", "minAgreementPercent": "98.0"},
    )


def _rendered(count: int, cache: Path) -> Array:
    """Returns float32 [count, 3, 48, 320] in -1..1, like the model's training data: dark on light or light on dark,
    with noise."""
    sys.path.insert(0, str(packaged(PILLOW, cache).parents[1]))
    from PIL import Image, ImageDraw, ImageFont

    random = np.random.default_rng(0)
    words = sorted({word for package in importlib.metadata.distributions() for word in _words(package)})
    images = np.empty((count, 3, HEIGHT, WIDTH), np.float32)
    for number in range(count):
        light, dark = int(random.integers(150, 256)), int(random.integers(0, 100))
        back, ink = (light, dark) if random.random() < 0.7 else (dark, light)
        image = Image.new("RGB", (WIDTH, HEIGHT), (back,) * 3)
        size = int(random.integers(24, 36))
        line = " ".join(random.choice(words, 3))[: int(420 / size)]
        place = (int(random.integers(2, 12)), int(random.integers(0, HEIGHT - size - 4)))
        ImageDraw.Draw(image).text(place, line, fill=(ink,) * 3, font=ImageFont.load_default(size))
        pixels = np.asarray(image, np.float32) + random.normal(0, 6, (HEIGHT, WIDTH, 3))
        images[number] = (pixels.clip(0, 255) / 127.5 - 1).transpose(2, 0, 1)
    return images


def _words(package: importlib.metadata.Distribution) -> list[str]:
    return re.findall(r"[A-Za-z0-9]{3,12}", package.metadata.get("Summary") or "")


CASES: dict[str, Callable[[Path, Path], Case]] = {
    "MiniLM": text,
    "Silero VAD": speech,
    "Magika": magika,
    "PP-OCR recognition": lines,
}

PREREQUISITES: dict[str, tuple[Prerequisite, ...]] = {
    "MiniLM": (PyPIFile(MINILM),),
    "Silero VAD": (PyPIFile(SILERO), DebianPackage("espeak-ng", "espeak-ng", "Silero VAD on synthesised speech")),
    "Magika": (PyPIFile(MAGIKA),),
    "PP-OCR recognition": (PyPIFile(OCR), PyPIFile(PILLOW)),
}
"""The prerequisites of each case."""


def save(arrays: Arrays, path: Path) -> Path:
    """Writes the arrays as an npz file to ``path``, which is returned."""
    np.savez(path, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    return path


def names() -> Sequence[str]:
    """Returns the names of all cases."""
    return list(CASES)
