"""Errors of libraries become messages in one place."""

import pytest

from edge_compressor.library_errors import explained
from edgemodel.errors import Stalled


def test_errors_become_what_the_caller_says_and_the_others_pass() -> None:
    def cannot(cause: str) -> Stalled:
        return Stalled("StepFailed", f"cannot: {cause}")

    with pytest.raises(Stalled, match=r"^cannot: gone$"), explained(cannot):
        raise IndexError("gone")
    with pytest.raises(MemoryError), explained(cannot):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
    for passes in (OSError(5, "Input/output error"), MemoryError(), Stalled("StepFailed", "told")):
        with pytest.raises(type(passes)) as caught, explained(cannot):
            raise passes
        assert caught.value is passes
