"""Functions that end a child process. They import little, because each child imports them."""

import signal

from edge_compressor.child_process import doing


def end_by(number: int) -> None:
    doing("ran")
    signal.raise_signal(number)


def crash_as_it_runs(*_: object) -> None:
    end_by(signal.SIGSEGV)


def run_out_of_memory(*_: object) -> None:
    end_by(signal.SIGKILL)


def number_of(text: str) -> float:
    return float(text)
