"""Functions that end a child process, or answer in its place. They import little, because each child imports them."""

import os
import signal
from pathlib import Path

from edge_compressor import child_process
from edge_compressor.child_process import doing


def nothing() -> None:
    """Returns at once."""


def pause() -> None:
    signal.pause()


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


def write_processes(path: str) -> None:
    write(path, f"{os.getpid()} {os.getppid()}")


def end_by(number: int) -> None:
    doing("ran")
    signal.raise_signal(number)


def crash_as_it_runs(*_: object) -> None:
    end_by(signal.SIGSEGV)


def run_out_of_memory(*_: object) -> None:
    end_by(signal.SIGKILL)


def answer(text: str) -> None:
    """Sends bytes to the process that forked this one, as code of a stranger could, and then waits without end."""
    assert child_process._to_parent is not None
    child_process._to_parent.write(text.encode("latin-1"))
    child_process._to_parent.flush()
    signal.pause()


def answer_garbage(*_: object) -> None:
    answer("returned\n")


def answer_without_end() -> None:
    while True:
        assert child_process._to_parent is not None
        child_process._to_parent.write(b" " * 4096)


def number_of(text: str) -> None:
    float(text)
