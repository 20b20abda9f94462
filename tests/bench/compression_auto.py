"""Auto on pretrained models, compared with the source, the best recipe that a person would write, and other quantizers.

Auto chooses on one half of the samples; all are judged on the other half, by the gate that Auto uses.
"""

import contextlib
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import sqrt
from pathlib import Path
from typing import Any

from edge_compressor import evaluation
from edge_compressor.datasets import Dataset, load_dataset
from edge_compressor.evaluation import stateful
from edge_compressor.models.onnx_model import OnnxModel, check_model
from edge_compressor.progress import Progress
from edge_compressor.search.recipes import Part, SearchRecipe
from edge_compressor.search.trial import NOISE, Pace, SearchTrial, Trials
from edge_compressor.steps import STEPS, StepContext, plan
from edgemodel.budget import Budget
from edgemodel.compression_request import ONNX, CompressionRequest, Source
from edgemodel.errors import EdgeModelError
from tests.bench import compression_models, compression_peers
from tests.bench.compression_models import Case

AUTO, SOURCE, BY_HAND = "Auto", "source", "by hand"
FEEDS_TIMED, CALIBRATION_STEPS = 16, 512


@dataclass(frozen=True)
class Row:
    """The result of one candidate on the half of the samples that nobody chose by."""

    case: str
    made_by: str
    recipe: str
    size_bytes: int
    transfer_bytes: int
    speed: float
    speed_lower: float
    drop_percent: float | None
    drop_upper_percent: float | None
    keeps: bool
    """True if it keeps the budget and the speed of the source."""
    score: float
    """The geometric mean of the ratios of speed (a tie: 1) and of bytes to download; 1 if it does not keep the
    budget."""
    why_not: str = ""
    seconds: float = 0.0


def run(folder: Path, cache: Path, names: Sequence[str], progress: Progress) -> tuple[list[Any], list[Row]]:
    """Returns (targets, rows); ``names`` are those of compression_models.CASES."""
    targets, rows = [], []
    for name in names:
        own = folder / name.replace(" ", "-")
        own.mkdir()
        case = compression_models.CASES[name](own, cache)
        of_case = measure(case, own, progress)
        show(case, of_case)
        targets += goals(case, of_case)
        rows += of_case
    return targets, rows


def measure(case: Case, folder: Path, progress: Progress) -> list[Row]:
    """Returns a row for the source, for Auto and for every other way to compress the case's model."""
    source = check_model(case.model)
    selection, report = _dataset(case, "evaluation", source, folder).halves()
    calibration = stateful.steps_of(_dataset(case, "calibration", source, folder), source, CALIBRATION_STEPS, "source")
    limit = case.limit_percent
    labelled = "label" in case.evaluation
    budget = Budget(max_accuracy_drop_percent=limit) if labelled else Budget()
    request = CompressionRequest(Source(str(case.model)), budget=budget)
    context = StepContext("auto", folder, calibration, progress, request, source=source, selection=selection)
    evaluator = evaluation.Evaluator(progress)
    judge = Trials(source, report, budget, limit, case.settings.get("agreement", "Close"), evaluator)
    transfer_bytes = evaluation.transfer_bytes(source)
    rows = [Row(case.name, SOURCE, "as it is", source.size_bytes, transfer_bytes, 1.0, 1.0, 0.0, 0.0, True, 1.0)]
    for number, recipe in enumerate(case.by_hand):
        part = Part(recipe["type"], recipe["settings"])
        own = folder / f"hand-{number}"
        own.mkdir()
        start = time.monotonic()
        trial = _by_hand(part, source, replace(context, folder=own), judge)
        rows.append(_row(case, BY_HAND, trial, rows[0], time.monotonic() - start))
    for peer in compression_peers.PEERS:
        start = time.monotonic()
        trial = _peer(peer, source, calibration, folder / peer.replace(" ", "-"), judge)
        rows.append(_row(case, peer, trial, rows[0], time.monotonic() - start))
    own = folder / "auto"
    own.mkdir()
    start = time.monotonic()
    (step,) = plan([{"name": "auto", "type": AUTO, "auto": case.settings}])
    notes: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):  # onnxruntime prints for each feed
        result = step.step.apply[ONNX](source.path, step.settings, replace(context, folder=own, notes=notes))
    seconds = time.monotonic() - start
    chosen = notes["auto"]["chosen"]
    if result == source.path:
        rows.append(replace(rows[0], made_by=AUTO, recipe=chosen, seconds=seconds))
    else:
        judge.digests.clear()  # a recipe by hand may make the same file
        trial = judge.measure(SearchRecipe((Part(chosen),)), result)
        rows.append(_row(case, AUTO, trial, rows[0], seconds))
    return rows


def _by_hand(part: Part, source: OnnxModel, context: StepContext, judge: Trials) -> SearchTrial:
    key = part.type[0].lower() + part.type[1:]
    (step,) = plan([{"name": "by-hand", "type": part.type, key: dict(part.settings)}])
    assert STEPS[part.type].apply is not None
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            made = step.step.apply[ONNX](source.path, step.settings, context)
    except EdgeModelError as error:
        return SearchTrial(SearchRecipe((part,)), dropped=error.message)
    return _measured(judge.measure(SearchRecipe((part,)), made), judge)


def _peer(name: str, source: OnnxModel, calibration: Dataset, folder: Path, judge: Trials) -> SearchTrial:
    recipe = SearchRecipe((Part("its default"),))
    try:
        made = compression_peers.quantize(name, source, calibration, folder)
    except RuntimeError as error:
        return SearchTrial(recipe, dropped=str(error))
    return _measured(judge.measure(recipe, made), judge)


def _measured(trial: SearchTrial, judge: Trials) -> SearchTrial:
    """Returns the trial with speed and accuracy, also for a candidate that was dropped before they were measured."""
    if trial.model is not None and not (trial.dropped or "").startswith("the same file"):
        trial.speed = trial.speed or evaluation.compare_speed(judge.source, trial.model, judge.feeds(FEEDS_TIMED))
        trial.answers, _ = judge.answers(trial.model, 1)
    return trial


def _dataset(case: Case, name: str, source: OnnxModel, folder: Path) -> Dataset:
    arrays = case.evaluation if name == "evaluation" else case.calibration
    wanted = {tensor.name for tensor in source.inputs} | ({"label"} if name == "evaluation" else set())
    path = compression_models.save(
        {key: array for key, array in arrays.items() if key in wanted}, folder / f"{name}.npz"
    )
    return load_dataset(path, source, folder / name, what=f"{name} set", states=case.states)


def _row(case: Case, made_by: str, trial: SearchTrial, source: Row, seconds: float) -> Row:
    size = trial.model.size_bytes if trial.model else source.size_bytes
    transfer_bytes = evaluation.transfer_bytes(trial.model) if trial.model else source.transfer_bytes
    drop = trial.to_json(scored=True)["accuracyDrop"] or {}
    keeps = trial.kept and trial.pace is not Pace.SLOWER
    return Row(
        case.name,
        made_by,
        str(trial.recipe),
        size,
        transfer_bytes,
        trial.speed.ratio if trial.speed else 0.0,
        trial.speed.lower if trial.speed else 0.0,
        drop.get("percent"),
        drop.get("upperPercent"),
        keeps,
        sqrt(trial.credited_speed * source.transfer_bytes / transfer_bytes) if keeps else 1.0,
        trial.dropped or "",
        seconds,
    )


def show(case: Case, rows: Sequence[Row]) -> None:
    """Prints the rows of one case."""
    samples = len(next(iter(case.evaluation.values())))
    print(f"\n{case.name}: at most {case.limit_percent} points lost; {samples} samples, half of them to choose by")
    print(f"{'':18}{'times as fast':>15}{'fewer bytes':>15}{'lost':>8}{'at most':>9}{'score':>7}{'seconds':>9}  recipe")
    for row in rows:
        lost, most = ("" if value is None else f"{value:.2f}" for value in (row.drop_percent, row.drop_upper_percent))
        smaller = rows[0].transfer_bytes / row.transfer_bytes
        line = f"{row.made_by:18}{row.speed:15.2f}{smaller:15.2f}{lost:>8}{most:>9}{row.score:7.2f}{row.seconds:9.0f}"
        print(f"{line}  {row.recipe}{': ' + row.why_not[:120] if row.why_not else ''}", flush=True)


def goals(case: Case, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns the targets of one case: Auto against recipes by hand and against other tools."""
    (auto,) = (row for row in rows if row.made_by == AUTO)
    by_hand = max(row.score for row in rows if row.made_by in (SOURCE, BY_HAND))
    others = max(row.score for row in rows if row.made_by in (SOURCE, *compression_peers.PEERS))

    def target(name: str, goal: str, value: float, unit: str, holds: bool) -> dict[str, Any]:
        return {
            "name": f"Auto, {case.name}: {name}",
            "goal": goal,
            "value": round(value, 3),
            "unit": unit,
            "holds": holds,
        }

    limit, goal = float(case.limit_percent), f">= {1 - NOISE}"
    drop = auto.drop_upper_percent if auto.drop_upper_percent is not None else 100.0
    return [
        target("most it may have lost", f"<= {limit}", drop, "points", Decimal(str(drop)) <= case.limit_percent),
        target("times as fast, least", goal, auto.speed_lower, "", auto.speed_lower >= 1 - NOISE),
        target("score to the best by hand", goal, auto.score / by_hand, "", auto.score >= by_hand * (1 - NOISE)),
        target("score to the best of the others", goal, auto.score / others, "", auto.score >= others * (1 - NOISE)),
    ]
