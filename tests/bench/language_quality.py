"""Perplexity of each bit width against full precision, by the evaluation that the gate uses, on prose that no step has
seen."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_compressor.datasets import load_dataset
from edge_compressor.evaluation import Evaluator
from edge_compressor.gate import rise
from edge_compressor.models.onnx_model import check_model
from edge_compressor.progress import Progress
from edge_statistics.interval import Interval
from tests.bench import language_text
from tests.bench.language_models import EIGHT, FOUR, FP32, MIXED, Models
from tests.bench.language_ratios import Ratio, target

GOALS = {EIGHT: 1.01, MIXED: 1.09, FOUR: 1.22}
WINDOWS, QUICK_WINDOWS, TOKENS = 48, 2, 256


@dataclass(frozen=True)
class Quality:
    """The quality of one bit width."""

    width: str
    tokens: int
    source_perplexity: float
    perplexity: float
    ratio: float
    ratio_lower: float
    ratio_upper: float
    same_token: float
    """The share of places at which the most probable token is that of full precision."""


def run(
    models: Models, folder: Path, options: argparse.Namespace, progress: Progress
) -> tuple[list[dict[str, Any]], list[Quality]]:
    """Returns the (targets, runs)."""
    source = check_model(models.ours[FP32] / "model.onnx")
    texts = language_text.windows(
        models.ours[FP32] / "tokenizer.json", QUICK_WINDOWS if options.quick else WINDOWS, TOKENS
    )
    np.savez(folder / "prose.npz", allow_pickle=False, input_ids=texts)
    dataset = load_dataset(folder / "prose.npz", source, folder / "prose", what="evaluation set")
    runs, targets = [], []
    for width in options.widths:
        progress.say(f"perplexity, {width}")
        found = Evaluator(progress).evaluate(source, check_model(models.ours[width] / "model.onnx"), dataset)
        rising = found.perplexity
        assert rising is not None, "the task of a decoder is Language"
        ratio = Ratio(1 + rising.increase, Interval(1 + rise(rising.interval.lower), 1 + rise(rising.interval.upper)))
        own = found.alike.own
        runs.append(
            Quality(
                width, int(rising.tokens), found.source.figures["perplexity"], found.artifact.figures["perplexity"],
                ratio.value, ratio.interval.lower, ratio.interval.upper, own.score,
            )
        )  # fmt: skip
        targets.append(target(f"perplexity, {width}, to full precision", ratio, GOALS[width], at_most=True))
    return targets, runs
