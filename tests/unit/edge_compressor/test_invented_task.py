"""A task that the project does not have, defined in this file alone: all that a new one takes.

``Ranking`` judges the order of candidates: the set has no label but ``relevance``, [samples, candidates], and a sample
is right if the candidate with the largest score is one of those with the largest relevance.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from crds import facts, generated
from edge_cli import compress
from edge_cli.verb import command_parser
from edge_compressor.datasets import Dataset
from edge_compressor.evaluation import TASKS, Evaluation, Scores, bootstrap
from edge_compressor.evaluation.task import Answers, Claim, Figure, Outputs, TaskType, first, invalid
from edge_runtime.datatypes import Array
from edgemodel.compression_request import parse_request
from edgemodel.setting_kinds import PositiveNumber
from tests.support import manifests
from tests.support.simulation import model_spec
from tests.unit.edge_cli.commands import run
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.conftest import Files

ROOT = Path(__file__).resolve().parents[3]

# --- the task: all that a new one takes ---


@dataclass(frozen=True)
class Ranking:
    slack: float
    """The relevance that the best candidate may lack."""

    def check(self, dataset: Dataset) -> Dataset:
        if "relevance" not in dataset.arrays:
            raise invalid(dataset, "task Ranking needs an array relevance, and there is none")
        return dataset

    def read(self, outputs: Outputs, rows: int, dataset: Dataset) -> Answers:
        return {"best": first(outputs)[:rows].argmax(axis=1)}

    def compare(self, dataset: Dataset, source: Answers | None, artifact: Answers) -> Evaluation:
        relevance = dataset.arrays["relevance"]

        def right(answers: Answers) -> Array:
            reached = np.take_along_axis(relevance, answers["best"][:, None], axis=1)[:, 0]
            return np.asarray(reached >= relevance.max(axis=1) - self.slack, dtype=np.float64)

        assert source is not None
        both = np.stack([right(source), right(artifact)], axis=1)
        paired, seen, _ = bootstrap.compare(lambda weights: weights @ both / weights.sum(), dataset.size)
        scores = [Scores(float(one), {"bestFirst": float(one)}) for one in seen]
        agreement = float((source["best"] == artifact["best"]).mean())
        return Evaluation(
            "Ranking", dataset.size, agreement, "Best", "best first", source=scores[0], artifact=scores[1],
            answers=paired,
        )  # fmt: skip


TASK = TaskType(
    type="Ranking",
    doc="The dataset has relevance, one number for each candidate.",
    label="none, and `relevance` [n, candidates]",
    score="share of samples whose best candidate comes first",
    interval="bootstrap",
    make=lambda settings: Ranking(float(settings["rankSlack"] or 0)),
    figures={"bestFirst": Figure("best candidate first", "{:.1%}")},
    infer=lambda dataset, outputs: Claim("the set has relevance") if "relevance" in dataset.arrays else None,
    settings={"rankSlack": PositiveNumber("The relevance that the first may lack. Default: none.")},
    arrays=("relevance",),
)

# --- its effects ---


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adds the task to the list of tasks, and to the facts that ``crds/sync.py`` makes of it."""
    monkeypatch.setitem(TASKS, TASK.type, TASK)  # type: ignore[arg-type] - final for everybody else
    module: dict[str, Any] = {}
    exec(facts.facts(TASKS.values()), module)  # noqa: S102 - the module that crds/sync.py would write
    monkeypatch.setattr(compress, "EVALUATION_TASKS", module["EVALUATION_TASKS"])


def test_the_schema_has_it_with_its_settings() -> None:
    text = (ROOT / "crds" / "edgemodels.edgemodel.io.yaml").read_text()
    crd = manifests.read(generated.with_generated_parts(text, tasks=TASKS.values()))
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    schema = spec["compression"]["properties"]["evaluation"]
    assert schema["properties"]["task"]["enum"][-1] == "Ranking"
    assert "Ranking: the dataset has relevance" in schema["properties"]["task"]["description"]
    assert schema["properties"]["rankSlack"]["description"].startswith("For Ranking: the relevance")
    jsonschema.validate({"task": "Ranking", "rankSlack": "0.5"}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"rankSlack": 0.5}, schema)


def test_a_setting_belongs_to_one_task_only() -> None:
    with pytest.raises(ValueError, match="two tasks have a setting rankSlack"):
        generated.evaluation([*TASKS.values(), TASK])


def test_a_manifest_and_the_command_line_carry_its_settings() -> None:
    request = parse_request(model_spec(compression={"evaluation": {"task": "Ranking", "rankSlack": "0.5"}}))
    assert request.evaluation.settings == {"rankSlack": "0.5"}
    parser = command_parser("edgemodel", "", [compress.VERB])
    given = parser.parse_args(["compress", "--task", "Ranking", "--rank-slack", "0.5", "--output", "out"])
    assert (given.task, given.rank_slack) == ("Ranking", "0.5")


def test_the_documentation_lists_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from docs import tasks

    cells = ("none, and `relevance` [n, candidates]", "share of samples whose best candidate comes first", "bootstrap")
    assert f"| Ranking | {' | '.join(cells)} |" in tasks.rows(TASKS.values())


def ranked(perceptron: Files, folder: Path) -> Path:
    """Writes a set in whose every tenth sample the model's best candidate lacks 1 of relevance."""
    x = models.inputs_for(perceptron.model, 200)
    relevance = np.zeros((200, 10), np.float32)
    best = models.answers(perceptron.model, x).argmax(axis=1)
    relevance[np.arange(200), best] = 3
    relevance[np.arange(0, 200, 10), (best[::10] + 1) % 10] = 4
    np.savez(folder / "set.npz", x=x, relevance=relevance)
    return folder / "set.npz"


@pytest.mark.parametrize(("slack", "share"), [((), "90.0 %"), (("--rank-slack", "1.5"), "100.0 %")])
def test_it_is_inferred_from_its_array_measured_judged_and_reported(
    slack: tuple[str, ...], share: str, perceptron: Files, tmp_path: Path
) -> None:
    (tmp_path / "steps.json").write_text("[]")
    given = ("--source", perceptron.model, "--steps", tmp_path / "steps.json", "--evaluation")
    limit = ("--budget", "minAccuracyPercent=80", *slack, "--output", tmp_path / "out")
    assert run("compress", *given, ranked(perceptron, tmp_path), *limit) == 0
    report = (tmp_path / "out" / "report.md").read_text()
    assert f"| best candidate first | {share} | {share} |" in report
    assert "task Ranking (inferred: the set has relevance)" in report
    assert f"best first is {share}, floor 80 %" in report


def test_named_without_its_array_it_says_what_it_needs(
    perceptron: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "steps.json").write_text("[]")
    given = ("--source", perceptron.model, "--steps", tmp_path / "steps.json", "--evaluation", perceptron.evaluation)
    assert run("compress", *given, "--task", "Ranking", "--output", tmp_path / "out") == 3
    assert "task Ranking needs an array relevance, and there is none" in capsys.readouterr().err
