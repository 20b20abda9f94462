"""Giving memory back to the system."""

import ctypes
import gc


def give_back() -> None:
    """After a model is gone: glibc keeps what it freed (MiniLM: 227 MB instead of 73)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)
