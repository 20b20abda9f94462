"""The first run of a model on a sample, in a child process, so that a crash of its runtime ends the child alone.

``models/first_run.py`` only loads a model, because samples can only be read once its inputs are known.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from edge_compressor.child_process import Crashed, FailedInChild, UnreadableAnswer, call, doing
from edge_compressor.datasets import Dataset
from edge_compressor.evaluation.generated_inputs import generate
from edge_compressor.evaluation.golden_set import sample_feeds
from edge_compressor.models import first_run, runtime
from edge_compressor.models.feed_file import read_feed, write_feed
from edge_compressor.models.model_file import ModelFile
from edgemodel.errors import Stalled
from edgemodel.plain import from_plain, to_plain


def refuse_a_crash(model: ModelFile, dataset: Dataset | None, *, what: str, reason: str) -> None:
    """Runs ``model`` once in a child process, on a sample of ``dataset``; None: on generated inputs.

    Exceptions are no crash: whoever runs the model next meets them too, and knows more. Raises Stalled with ``reason``,
    naming ``what`` it is, if the runtime crashes; MemoryError if the system ended the child process for its memory.
    """
    with tempfile.TemporaryDirectory(prefix="edgemodel-sample-") as folder:
        path = Path(folder) / "sample.npz"
        try:
            call(run_a_sample, _plain_model(model), None if dataset is None else _plain_sample(dataset, path))
        except FailedInChild:
            return
        except (Crashed, UnreadableAnswer) as end:
            message = f"{what}: {first_run.explain(end, model.runtime)}: {first_run.cure(reason)}"
            raise Stalled(reason, message) from end


def run_a_sample(model: Mapping[str, Any], sample: Mapping[str, Any] | None) -> None:
    """Runs ``model`` on ``sample``, both in JSON's types; None: on one that is generated. Raises Stalled, LoadFailure,
    RunFailure."""
    doing(first_run.RAN)
    tried = from_plain(ModelFile, model)
    for feed in sample_feeds(tried, generate(tried, 1) if sample is None else _read_sample(sample), 1) or ():
        runtime.run(runtime.load_as_served(tried), feed)


def _plain_model(model: ModelFile) -> Any:
    """Returns the fields of every model, without those of one kind of them."""
    return to_plain({field.name: getattr(model, field.name) for field in fields(ModelFile)}) | {
        "path": str(model.path.absolute())
    }


def _plain_sample(dataset: Dataset, path: Path) -> dict[str, Any]:
    """Returns one sample without its label; its arrays are written to ``path``."""
    sample = dataset.every(max(1, dataset.size))
    return {
        "what": sample.what,
        "size": sample.size,
        "batch": sample.batch,
        "whole": sample.whole,
        "states": dict(sample.states),
        "path": str(path),
        "names": write_feed(path, sample.inputs),
    }


def _read_sample(plain: Mapping[str, Any]) -> Dataset:
    arrays = read_feed(Path(plain["path"]), plain["names"])
    return Dataset(
        plain["what"], arrays, None, plain["size"], plain["batch"], whole=plain["whole"], states=plain["states"]
    )
