"""The imports of a Job, which starts on a small node: a library that only one step needs is imported by that step."""

import subprocess
import sys

from examples.lab.site import ROOT

HEAVY = ("onnxslim", "sympy", "torch", "scipy")


def test_a_job_that_does_not_clean_the_graph_does_not_import_what_only_that_needs() -> None:
    program = f"import sys, edge_compressor.job.main; print([name for name in {HEAVY!r} if name in sys.modules])"
    path = f"{ROOT / 'operator'}:{ROOT}"
    told = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env={"PYTHONPATH": path},
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == "[]"
