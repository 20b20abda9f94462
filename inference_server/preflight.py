"""The program ``python -m inference_server.preflight``, which measures the artifact on this machine and reports in its
termination message.

It loads the model as the server would, answers the golden set, and times single runs. It does not listen and judges
nothing. It runs before the first request and beside the node's present load, which is the purpose of measuring here.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter

from edge_runtime.backend import LoadedModel, LoadFailure
from edge_runtime.datatypes import Array
from edge_runtime.processor import read_processor
from edgemodel import names, preflight_report, reasons, serving
from edgemodel.error_words import in_words
from inference_server import logs, settings
from inference_server.generate.limits import GenerationSettings
from inference_server.generate.model import graph_of
from inference_server.models.loading import answer_golden, load, read_manifest
from inference_server.models.selftest import golden_feeds
from inference_server.server_process import exit_at_once
from inference_server.settings import ServerSettings

WARM_UP_SECONDS = 1.0
"""The time that a processor needs to reach its full speed."""
WARM_UP_RUNS = 5
MEASURED_SECONDS = 10.0
MIN_RUNS, MAX_RUNS = 20, 2000
"""The limits of runs: a 95th percentile that is not simply the slowest run takes at least MIN_RUNS; a fast model is run
at most MAX_RUNS times."""

Clock = Callable[[], float]
"""A clock in seconds, from any start."""


def main() -> int:
    """Returns the exit status: 0 with a report of the measurement, serving.EXIT_MODEL with one of an unfit artifact."""
    # Process 1 has no default handler.
    signal.signal(signal.SIGTERM, lambda *_: exit_at_once(1))
    options = settings.parse(sys.argv[1:], os.environ)
    logs.configure()
    report = measure(options)
    data = preflight_report.encode(report)
    logs.event("preflight", report=data.decode())
    logs.write_termination(options.termination_log, data)
    return serving.EXIT_MODEL if isinstance(report, preflight_report.Incompatible) else 0


def measure(options: ServerSettings) -> preflight_report.PreflightReport:
    """Measures the first model that the settings name."""
    path = options.models[0]
    manifest = read_manifest(path, needs_manifest=options.needs_manifest)
    if isinstance(manifest, LoadFailure):
        return preflight_report.Incompatible(manifest.reason, manifest.message)
    model = load(path, manifest, options.tuning, GenerationSettings(options.generation))
    if isinstance(model, LoadFailure):
        return preflight_report.Incompatible(model.reason, model.message)
    processor = read_processor()
    placed = tuple(_device(name, nodes) for name, nodes in model.placed.items())
    machine = preflight_report.Measurement(None, None, processor.name, processor.instruction_sets, placed)
    if manifest.golden is None:
        return machine
    result = answer_golden(model, path, manifest.golden)
    if isinstance(result, LoadFailure):
        return preflight_report.Incompatible(result.reason, result.message)
    agreement = preflight_report.GoldenAgreement(result.agree, result.items, manifest.golden.min_percent)
    model = graph_of(model)
    feeds = golden_feeds(model.signature, manifest.golden, path / names.GOLDEN_FILE)
    try:
        latency = time_runs(model, feeds)
    except Exception as error:
        return preflight_report.Incompatible(
            reasons.MODEL_LOAD_FAILED, f"the model fails when it runs again: {in_words(error)}"
        )
    return replace(machine, agreement=agreement, latency=latency)


def _device(name: str, nodes: int | None) -> str:
    return name if nodes is None else f"{name} ({nodes} nodes)"


def time_runs(
    model: LoadedModel, feeds: Sequence[dict[str, Array]], clock: Clock = perf_counter
) -> preflight_report.LatencyPercentiles:
    """Returns the latency of runs of all outputs, one after the other, with the feeds by turns."""
    outputs = list(model.signature.outputs)

    def once(number: int) -> float:
        began = clock()
        model.run(feeds[number % len(feeds)], outputs)
        return clock() - began

    began, runs = clock(), 0
    while runs < WARM_UP_RUNS or clock() - began < WARM_UP_SECONDS:
        once(runs)
        runs += 1
    began, seconds = clock(), list[float]()
    while len(seconds) < MIN_RUNS or (len(seconds) < MAX_RUNS and clock() - began < MEASURED_SECONDS):
        seconds.append(once(len(seconds)))
    return preflight_report.LatencyPercentiles(_milliseconds(seconds, 50), _milliseconds(seconds, 95), len(seconds))


def _milliseconds(seconds: Sequence[float], percent: int) -> str:
    """Returns the shortest time that ``percent`` of the runs did not exceed, to microseconds, beyond which digits mean
    nothing."""
    # numpy's percentile wants numpy.ma, which the image leaves out.
    rank = -(-len(seconds) * percent // 100)
    return f"{1000 * sorted(seconds)[rank - 1]:.3f}"


if __name__ == "__main__":
    exit_at_once(main())
