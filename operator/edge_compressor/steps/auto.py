"""``type: Auto``: measures candidates made by other steps and takes the best that keeps the budget, or the source.

No recipe is safe for all models: dynamic int8 quantization halves the latency of a transformer and ruins a voice
detector; static int8 quantization is the best choice for one convolutional network and ruins another. The step
therefore builds each candidate with the existing steps and measures it on samples that the report does not use. A
candidate must be no slower on other processors, faster here, and accurate enough. A tie does not count as faster, and
a candidate that is not shown to keep the budget is dropped. The manifest records all trials and why each was dropped.
"""

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import onnx

from edge_compressor import evaluation
from edge_compressor.evaluation.evaluator import incomparable
from edge_compressor.models import normal_form, weight_files
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.onnx_model import OnnxModel, check_model
from edge_compressor.search import choice, recipes, sensitivity, weights
from edge_compressor.search.recipes import Part, SearchRecipe
from edge_compressor.search.trial import SearchTrial, Trials, has_score, mark_front
from edge_compressor.step_interface.step_type import StepContext, StepType, failed, resolve
from edge_compressor.steps import quantize_dynamic, quantize_static, quantize_weights
from edgemodel.compression_request import ONNX
from edgemodel.digest import digest_of_file
from edgemodel.error_words import in_words
from edgemodel.setting_kinds import Choice, Fraction, Settings, Whole

DEFAULT_DROP_PERCENT: Final = Decimal("1.0")
"""The limit for the accuracy drop if the budget sets none; without a limit, the smallest broken model would win."""

_QUANTIZERS: Final = {step.type: step for step in (quantize_dynamic.STEP, quantize_static.STEP, quantize_weights.STEP)}
_DEFAULT_OP_TYPES: Final = {
    recipes.DYNAMIC: quantize_dynamic.DEFAULT_OP_TYPES,
    recipes.STATIC: quantize_static.DEFAULT_OP_TYPES,
}
_FEEDS_FOR_SENSITIVITY: Final = 8
_BEST_TO_STORE: Final = 2
"""The number of best candidates that are tried again with their remaining FP32 weights stored in fewer bytes."""


def apply(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) without selection samples, or if they cannot decide the budget."""
    if context.source is None or context.selection is None:
        raise failed(context.name, "Auto needs datasets.evaluation: inputs, and label where there are classes")
    if reason := incomparable(context.source, check_model(model, like=context.source)):
        message = f"Auto compares with the source, and {reason}: quantize by another step, and set minAccuracyPercent"
        raise failed(context.name, message)
    limit = _limit(settings, context)
    evaluator = evaluation.Evaluator(context.progress, context.request.evaluation)
    trials = Trials(context.source, context.selection, context.request.budget, limit, settings["agreement"], evaluator)
    search = _Search(model, context, trials, settings["maxTrials"], time.monotonic() + settings["maxSeconds"])
    objective = _objective(settings, context.source)
    search.run(objective)
    chosen = search.choose(objective)
    search.clear(but=chosen.trial)
    context.progress.say(f"step {context.name}: {chosen.reason}")
    context.notes["auto"] = search.to_json(objective, chosen)
    if chosen.trial is None or chosen.trial.model is None:
        return context.source.path
    result = context.folder / "auto.onnx"
    for name in chosen.trial.model.weight_files:  # moved, since onnx's checker refuses weights that have two names
        shutil.move(chosen.trial.model.path.parent / name, context.folder / name)
    shutil.move(chosen.trial.model.path, result)
    return result


def _objective(settings: Settings, source: ModelFile) -> str:
    """Returns the objective; by default a decoder is to be small, as the speed of its next token is that of reading its
    weights."""
    balanced = settings["objective"] == "Balanced"
    return "Size" if balanced and source.decoder is not None else str(settings["objective"])


def _limit(settings: Settings, context: StepContext) -> Decimal:
    """Returns the largest allowed drop, in percent, of accuracy or, without labels, of agreement with the source."""
    assert context.selection is not None
    given = context.request.budget.max_accuracy_drop_percent
    if has_score(context.selection, context.request.evaluation.task):
        return DEFAULT_DROP_PERCENT if given is None else given
    if given is not None and context.request.budget.on_inconclusive == "Stall":
        message = f"budget.maxAccuracyDropPercent is {given}, and without labels no drop of accuracy is seen"
        raise failed(context.name, f"{message}: give datasets.evaluation a label, or set minAgreementPercent instead")
    return 100 - Decimal(settings["minAgreementPercent"])


@dataclass
class _Search:
    """The search tries recipes in order until trials or time are used up."""

    given: Path
    context: StepContext
    trials: Trials
    max_trials: int
    end: float
    """The end of the search, on the clock time.monotonic."""
    tried: list[SearchTrial] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    source_transfer_bytes: int = 0

    def run(self, objective: str) -> None:
        if self.given != self.trials.source.path and self.trials.source.digest != digest_of_file(self.given):
            self._try(SearchRecipe(()))  # the result of the earlier steps is a candidate itself
        self.trials.digests[self.trials.source.digest] = "the source"
        if self.trials.source.decoder is not None:
            for recipe in recipes.for_decoder(weight_files.load_graph(self.given)):
                self._try(recipe)
        else:
            self._search_widely(objective)
        if self._used_up():
            self.notes.append(f"the search ended early: maxTrials or maxSeconds was reached ({len(self.tried)} trials)")

    def _search_widely(self, objective: str) -> None:
        """Tries all quantizers, then gentler forms of what lost too much, then smaller forms of the best."""
        named = normal_form.load_with_weights(self.given)
        if self.context.calibration is None:
            self.notes.append("QuantizeStatic was not tried: it needs datasets.calibration")
        for recipe in recipes.first_round(named, calibrated=self.context.calibration is not None):
            self._try(recipe)
        for trial in self._promising():
            self._refine(trial, named)
        best = sorted(self._kept(), key=lambda trial: -choice.score(trial, objective, self.source_transfer_bytes))
        for trial in [trial for trial in best if recipes.quantizes(trial.recipe)][:_BEST_TO_STORE]:
            for stored in (recipes.stored(datatype) for datatype in weights.DATATYPES):
                self._try(SearchRecipe((*trial.recipe.parts, *stored.parts)))

    def choose(self, objective: str) -> choice.SearchChoice:
        mark_front(self._kept())
        return choice.choose(self.tried, objective, self.source_transfer_bytes)

    def clear(self, *, but: SearchTrial | None) -> None:
        """Deletes the files of other candidates: they may be large, and the folder stays until the Job ends."""
        for folder in self.context.folder.glob("trial-*"):
            if but is None or but.model is None or folder not in but.model.path.parents:
                shutil.rmtree(folder)

    def to_json(self, objective: str, chosen: choice.SearchChoice) -> dict[str, Any]:
        selection = self.trials.selection
        return {
            "objective": objective,
            "chosen": str(chosen.trial.recipe) if chosen.trial else "the source",
            "reason": chosen.reason,
            "samples": selection.size,
            "judgedBy": self.trials.judged_by if self.trials.scored else f"agreement ({self.trials.agreement})",
            "limitPercent": str(self.trials.limit_percent),
            "sourceTransferBytes": self.source_transfer_bytes or None,
            "notes": self.notes,
            "tried": [trial.to_json(scored=self.trials.scored) for trial in self.tried],
        }

    def _kept(self) -> list[SearchTrial]:
        return [trial for trial in self.tried if trial.kept]

    def _used_up(self, *, reserved: int = 0) -> bool:
        """Returns True if trials or time are used up; ``reserved`` trials are kept for later stages."""
        return len(self.tried) + reserved >= self.max_trials or time.monotonic() >= self.end

    def _promising(self) -> list[SearchTrial]:
        """Returns fast quantized candidates that were dropped only for their accuracy, smallest loss first."""
        missed = [trial for trial in self.tried if trial.missed_accuracy and recipes.quantizes(trial.recipe)]
        return sorted(missed, key=lambda trial: trial.answers.drop if trial.answers else 1.0)

    def _refine(self, trial: SearchTrial, named: onnx.ModelProto) -> None:
        """Tries increasingly gentle recipes until one keeps the budget."""
        for recipe in self._gentler(trial, named):
            if self._used_up(reserved=_BEST_TO_STORE * len(weights.DATATYPES)):
                return
            tried = self._try(recipe)
            if tried is not None and tried.kept:
                return

    def _gentler(self, trial: SearchTrial, named: onnx.ModelProto) -> Iterable[SearchRecipe]:
        recipe = trial.recipe
        nodes = recipes.quantized_nodes(named, recipe, _DEFAULT_OP_TYPES[recipe.parts[-1].type])
        if recipe.parts[-1].type == recipes.STATIC:
            yield recipe.with_(calibrationMethod="Percentile")
        if ends := recipes.ends(nodes):
            yield recipe.with_(excludeNodes=ends)
        if trial.model is not None:
            ranked = self._ranked(trial.model, [node.name for node in nodes], named)
            for excluded in recipes.most_sensitive(ranked):
                yield recipe.with_(excludeNodes=excluded)

    def _ranked(self, candidate: OnnxModel, names: list[str], named: onnx.ModelProto) -> list[str]:
        try:
            return sensitivity.rank(named, candidate.path, names, self.trials.inner_feeds(_FEEDS_FOR_SENSITIVITY))
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime raises anything for tensors that it cannot expose as outputs
            self.notes.append(f"sensitivity of {candidate.path.parent.name} is not known: {in_words(error, 200)}")
            return []

    def _try(self, recipe: SearchRecipe) -> SearchTrial | None:
        """Returns the measured trial; None if trials or time are used up, or the recipe was tried before."""
        if self._used_up() or any(trial.recipe == recipe for trial in self.tried):
            return None
        folder = self.context.folder / f"trial-{len(self.tried)}"
        folder.mkdir()
        try:
            path = self._make(recipe, folder)
        except MemoryError:
            raise
        except Exception as error:  # the libraries below raise anything for graphs they were not made for
            trial = SearchTrial(recipe, dropped=f"cannot be made: {in_words(error, 300)}")
        else:
            trial = self.trials.measure(recipe, path)
        self._note(trial)
        if not trial.kept and not trial.missed_accuracy:
            shutil.rmtree(folder)
        return trial

    def _note(self, trial: SearchTrial) -> None:
        self.tried.append(trial)
        if trial.kept and trial.model is not None:
            self.source_transfer_bytes = self.source_transfer_bytes or evaluation.transfer_bytes(self.trials.source)
            trial.transfer_bytes = evaluation.transfer_bytes(trial.model)
        said = trial.dropped or f"kept, {trial.pace}"
        speed = f", {trial.speed.ratio:.2f} times as fast" if trial.speed else ""
        size = f", {trial.model.size_bytes} bytes" if trial.model else ""
        self.context.progress.say(f"step {self.context.name}: {trial.recipe}{size}{speed}: {said}")

    def _make(self, recipe: SearchRecipe, folder: Path) -> Path:
        current = self.given
        for number, part in enumerate(recipe.parts):
            own = folder / str(number)
            own.mkdir()
            current = self._apply(part, current, own)
        if current == self.given:
            weight_files.save(weight_files.load_graph(current), folder / "given.onnx", folder=current.parent)
            return folder / "given.onnx"
        return current

    def _apply(self, part: Part, model: Path, folder: Path) -> Path:
        if part.type == recipes.WEIGHTS:
            if not weights.store(model, folder / "stored.onnx", part.settings["datatype"]):
                raise failed(self.context.name, "no FP32 weights are left that are worth storing small")
            return folder / "stored.onnx"
        step = _QUANTIZERS[part.type]
        context = replace(self.context, folder=folder, notes={})
        return step.apply[ONNX](model, resolve(step, self.context.name, part.settings), context)


STEP = StepType(
    "Auto",
    "Tries quantization methods, operator types and exclusions; takes the best result that keeps the budget on one "
    "half of datasets.evaluation and is not slower than the source. If there is none, nodes serve the source.",
    {
        "objective": Choice(
            "Balanced",
            "Objective that ranks the candidates that keep the budget. Speed: speed-up over the source; a tie counts "
            "as 1. Size: reduction of the bytes that a node downloads. Balanced: the geometric mean of both; for a "
            "decoder, Size. Default: Balanced.",
            choice.OBJECTIVES,
        ),
        "maxTrials": Whole(
            24, "Maximum number of candidates that the step builds and measures; 1 to 200. Default: 24.", maximum=200
        ),
        "maxSeconds": Whole(
            900,
            "Time after which the step starts no further candidate, in seconds; 1 to 86400. Default: 900.",
            maximum=86_400,
        ),
        "agreement": Choice(
            "Close",
            "When two outputs agree, if datasets.evaluation has no label. Close: every output is off by at most "
            "5 % of its spread, channel by channel. Argmax: the first output has its largest values at the same "
            "positions. Default: Close.",
            ("Close", "Argmax"),
        ),
        "minAgreementPercent": Fraction(
            "99.0",
            "Minimum share of samples on which artifact and source agree, if datasets.evaluation has no label, in "
            'percent; a decimal string, "0" to "100". The lower end of the 90 % confidence interval must reach it. '
            'Default: "99.0".',
            minimum="0",
            maximum="100",
        ),
    },
    {ONNX: apply},
    needs=("evaluation",),
    reads=("budget", "evaluation", "tuning"),
    selects=True,
)
