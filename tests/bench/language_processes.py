"""The processes that generate text by turns, and what they take of processors and memory."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench import language_models
from tests.bench.environments import environment
from tests.bench.language_models import EIGHT, Models, bare

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS: Final = ROOT / "tests/bench/peers"
OURS, LLAMA, GENAI, CTRANSLATE2 = "ours", "llama.cpp", "onnxruntime-genai", "CTranslate2"
CONTEXT: Final = 2048
_PROCESSOR_CLOCK: Final = 2  # CPUCLOCK_SCHED: nanoseconds on a processor, as clock_getcpuclockid(3) has it


def of_width(width: str) -> tuple[str, ...]:
    """Returns who generates with a bit width."""
    return (OURS, LLAMA, GENAI, CTRANSLATE2) if width == EIGHT else (OURS, LLAMA, GENAI)


@dataclass(frozen=True)
class Answer:
    """One answer: the times of its prompt with the first token, and of the other tokens."""

    tokens: Sequence[int]
    prompt_seconds: float
    """Seconds of processors."""
    rest_seconds: float
    prompt_wall_seconds: float
    rest_wall_seconds: float


class Process:
    """A process that answers one question at a time."""

    def __init__(self, command: Sequence[str | Path], variables: Mapping[str, str]) -> None:
        self._log = open(os.devnull, "w")  # noqa: SIM115 - it is written to until the process ends
        self._process = subprocess.Popen(
            list(map(str, command)), env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log,
        )  # fmt: skip
        self.pid = self._process.pid

    def ask(self, prompt: Sequence[int], count: int) -> Answer:
        """Returns the answer of ``count`` tokens. Raises RuntimeError if the process has ended."""
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None, "it is a pipe"
        assert answered is not None, "it is a pipe"
        try:
            print(json.dumps({"prompt": list(prompt), "count": count}), file=asked, flush=True)
            line = answered.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"{self._process.args} ended: {self._process.wait()}")
        found = json.loads(line)
        (prompt_seconds, prompt_wall), (rest_seconds, rest_wall) = found["prompt"], found["rest"]
        return Answer(found["tokens"], prompt_seconds, rest_seconds, prompt_wall, rest_wall)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        self._log.close()


@contextlib.contextmanager
def running(who: str, models: Models, width: str, threads: int = 1, context: int = CONTEXT) -> Iterator[Process]:
    """Yields the process of one of those that are compared, which has loaded its model."""
    size = [str(threads), str(context)]
    if who == OURS:
        command = [sys.executable, PEERS / "ours_peer.py", models.ours[width], *size]
        variables = bare() | {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"}
    elif who == LLAMA:
        python = _python(language_models.LLAMA)
        command = [python, PEERS / "llama_peer.py", language_models.llama_folder(), models.llama[width], *size]
        variables = bare()
    elif who == GENAI:
        command = [_python(language_models.GENAI), PEERS / "genai_peer.py", models.ours[width], *size]
        variables = bare()
    else:
        command = [
            _python(language_models.CTRANSLATE2),
            PEERS / "ctranslate2_peer.py",
            models.ctranslate2 / "model",
            *size,
        ]
        variables = bare()
    if threads > 1:
        variables["OMP_NUM_THREADS"] = str(threads)
    process = Process(command, variables)
    try:
        yield process
    finally:
        process.close()


def _python(needed: Any) -> Path:
    return environment(needed.name, needed.requirements)


def tree(root: int) -> list[int]:
    """Returns a process and its descendants."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                todo += map(int, (thread / "children").read_text().split())
            found.append(pid)
    return found


def processor_seconds(root: int) -> float:
    """Returns the processor time of a process and its descendants that live."""
    total = 0.0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += time.clock_gettime(~pid << 3 | _PROCESSOR_CLOCK)
    return total


def memory_bytes(root: int, field: str) -> int:
    """Returns a field of smaps_rollup, such as Pss_Anon, of a process and its descendants."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
    return total * 1024
