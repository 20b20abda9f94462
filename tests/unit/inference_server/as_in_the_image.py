"""A program of the server as in its image, without the modules that the image leaves out: as_in_the_image MODULE …"""

import runpy
import sys
import types

from tests.unit.inference_server.test_imports import LEFT_OUT

EMPTY = ("numpy.random", "numpy.fft", "numpy.ma", "numpy.polynomial")
"""The modules that the image omits from numpy and that are loaded on demand: they exist, but are empty."""

if __name__ == "__main__":
    sys.modules.update(dict.fromkeys(LEFT_OUT))  # type: ignore[arg-type]
    sys.modules.update((name, types.ModuleType(name)) for name in EMPTY)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
