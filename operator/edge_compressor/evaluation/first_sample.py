"""The first run of a model on a sample, in a child process, so that a crash of its runtime ends the child alone.

``models/first_run.py`` only loads a model, because samples can only be read once its inputs are known.
"""

from edge_compressor.child_process import Crashed, FailedInChild, call, doing
from edge_compressor.datasets import Dataset
from edge_compressor.evaluation.generated_inputs import generate
from edge_compressor.evaluation.golden_set import sample_feeds
from edge_compressor.models import first_run, runtime
from edge_compressor.models.model_file import ModelFile
from edgemodel.errors import Stalled


def refuse_a_crash(model: ModelFile, dataset: Dataset | None, *, what: str, reason: str) -> None:
    """Runs ``model`` once in a child process, on a sample of ``dataset``; None: on generated inputs.

    Exceptions are no crash: whoever runs the model next meets them too, and knows more. Raises Stalled with ``reason``,
    naming ``what`` it is, if the runtime crashes; MemoryError if the system ended the child process for its memory.
    """
    sample = None if dataset is None else dataset.every(max(1, dataset.size))
    try:
        call(run_a_sample, model, sample)
    except FailedInChild:
        return
    except Crashed as crash:
        message = f"{what}: {first_run.explain(crash, model.runtime)}: {first_run.cure(reason)}"
        raise Stalled(reason, message) from crash


def run_a_sample(model: ModelFile, sample: Dataset | None) -> None:
    """Runs ``model`` on ``sample``; None: on one that is generated. Raises Stalled, LoadFailure, RunFailure."""
    doing(first_run.RAN)
    for feed in sample_feeds(model, sample or generate(model, 1), 1) or ():
        runtime.run(runtime.load(model), feed)
