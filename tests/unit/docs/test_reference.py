"""The reference: it is up to date, and has everything. ``test_pages`` follows its links."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from prometheus_client import generate_latest

from docs import reference_pages
from docs.reference_pages import api, chart_values, command_line, metrics, reasons
from docs.reference_pages.page import Page
from edge_cli import kubectl_plugin, main
from edge_operator.decide.analysis import CHECKS
from edge_operator.metrics import Metrics
from edgemodel import metrics as contract
from edgemodel.reasons import REASONS, anchor_of
from tests.support import manifests
from tests.unit.docs.test_pages import anchors

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "docs" / "reference"
PAGES = sorted(FOLDER.glob("*.md"))

# --- every page ---


def test_the_reference_is_up_to_date() -> None:
    stale = [path.relative_to(ROOT) for path in reference_pages.differing()]
    assert not stale, "run python docs/reference.py"


def test_a_page_that_nobody_writes_any_more_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reference_pages, "FOLDER", tmp_path)
    monkeypatch.setattr(reference_pages, "pages", lambda: (Page("new", "New", "a page", lambda: ["text"]),))
    (tmp_path / "old.md").write_text("old")
    found = reference_pages.differing()
    assert found[tmp_path / "old.md"] is None
    assert "text" in (found[tmp_path / "new.md"] or "")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_anchor_of_a_page_exists_twice(path: Path) -> None:
    written = re.findall(r'<a id="([^"]+)"></a>', path.read_text())
    assert len(written) == len(set(written))


# --- reasons ---


def test_every_reason_has_an_entry_with_its_own_anchor() -> None:
    text = (FOLDER / "reasons.md").read_text()
    for reason in [*REASONS.values(), *(check.fails_with for check in CHECKS.values())]:
        assert anchor_of(reason.word) in anchors(FOLDER / "reasons.md")
        (entry,) = re.findall(rf"^### {reason.word}\n\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
        assert reason.meaning in entry
        assert reason.remedy in entry
        assert reason.kind in entry


@pytest.mark.parametrize("word", REASONS)
def test_every_reason_says_what_it_appears_on(word: str) -> None:
    assert reasons.appears_on(REASONS[word])


# --- metrics ---


def test_every_metric_of_the_operator_has_an_entry() -> None:
    exposed = re.findall(r"^# TYPE (\S+) (counter|gauge|histogram)", generate_latest(Metrics().registry).decode(), re.M)
    told = {metric.name: metric.type for metric in metrics.of_the_operator()}
    assert {name: kind for name, kind in exposed if not name.endswith("_created")}.items() <= told.items()
    assert told.keys() <= anchors(FOLDER / "metrics.md")


def test_every_metric_of_the_contract_has_an_entry_with_type_unit_and_labels() -> None:
    names = {value for value in vars(contract).values() if isinstance(value, str) and value.startswith("edgemodel_")}
    told = {metric.name: metric for metric in metrics.of_the_server()}
    assert names == told.keys() <= anchors(FOLDER / "metrics.md")
    for metric in told.values():
        assert metric.unit
        assert set(contract.IDENTITY_LABELS) < set(metric.labels)
    assert contract.WARM_UP_LABEL in told[contract.REQUESTS_TOTAL].labels


# --- the command line ---


def test_every_verb_and_option_has_an_entry() -> None:
    text = (FOLDER / "command-line.md").read_text()
    names = [f"edgemodel {verb.name}" for verb in main.VERBS]
    names += [f"kubectl edgemodel {verb.name}" for verb in kubectl_plugin.VERBS]
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == names
    for command in command_line.commands():
        (entry,) = re.findall(rf"^## {command.name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        for action in command.actions:
            assert action.help, f"{command.name}: {action.dest} has no help"
            assert all(f"`{flag}" in entry for flag in action.option_strings)


def test_the_page_is_the_same_on_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in ("inference_server.settings", "docs.reference_pages.command_line"):
        monkeypatch.setattr(f"{module}.usable_cores", lambda: 97)
    monkeypatch.setattr(socket, "gethostname", lambda: "another-machine")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "40")
    assert command_line.PAGE.text() == (FOLDER / "command-line.md").read_text()


# --- the chart's values ---


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Yields the path of each value in values.yaml."""
    if isinstance(value, dict) and value:
        for name, below in value.items():
            yield from leaves(below, f"{path}.{name}" if path else name)
    else:
        yield path


def test_every_value_of_the_chart_has_an_entry_with_its_meaning() -> None:
    told = {value.path: value for value in chart_values.values()}
    for path in leaves(manifests.read((chart_values.CHART / "values.yaml").read_text())):
        assert any(path == known or path.startswith(f"{known}.") for known in told), path
    assert all(value.meaning for value in told.values()), [path for path, value in told.items() if not value.meaning]
    assert told.keys() <= anchors(FOLDER / "chart-values.md")


def test_the_comments_of_the_values_are_read() -> None:
    text = "# Told\n# above.\na:\n  b: 1  # behind\n\n  # --- a part ---\n  c: '#no'\n# lost\n\nd: []\n"
    found = chart_values.comments(text)
    assert (found["a"].above, found["a.b"].behind) == ("Told above.", "behind")
    assert found["a.c"] == found["d"] == chart_values.Comment()


# --- the API ---


def paths(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Yields the anchor of each field of a schema."""
    for name, item in schema.get("properties", {}).items():
        below = f"{path}.{name}"
        yield below
        yield from paths(item.get("items", item), below)


def test_every_field_has_an_entry_or_is_below_one_that_names_its_like() -> None:
    known = anchors(FOLDER / "api.md")
    alike = {section.field.id: section.same_as.id for section in api.sections() if section.same_as is not None}
    for path in api.CRDS:
        definition = manifests.read(path.read_text())["spec"]
        schema = definition["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        for top in ("spec", "status"):
            for field in paths({"properties": {top: schema[top]}}, definition["names"]["kind"]):
                like = next((name for name in alike if field.startswith(f"{name}.")), None)
                there = field if like is None else field.replace(like, alike[like], 1)
                assert re.sub(r"\.", "", there.removeprefix("EdgeModel.")).lower() in known, field


def test_a_field_tells_type_default_unit_range_and_example() -> None:
    fields = {field.id: field for field in api.fields()}
    soak = fields["EdgeModel.spec.rollout.soakSeconds"]
    assert (soak.type, soak.unit, soak.range, soak.default) == ("integer", "seconds", "0 to 604800", "300")
    drop = fields["EdgeModel.spec.compression.budget.maxAccuracyDropPercent"]
    assert (drop.type, drop.unit, drop.range) == ("string", "percent", "0 to 100")
    assert drop.default == "none, the drop in accuracy is not checked"
    assert "Default:" not in drop.text
    assert fields["EdgeModel.spec.source.uri"].required


def test_every_field_that_a_manifest_can_set_has_an_example() -> None:
    found = api.examples()
    without = [
        field.id
        for field in api.fields()
        if field.id.startswith("EdgeModel.spec.") and not field.below and field.id not in found
    ]
    assert without == []


def test_every_example_is_valid() -> None:
    found = api.examples()
    for field in api.fields():
        if field.id in found:
            jsonschema.Draft202012Validator(field.schema).validate(manifests.read(found[field.id]))


def test_a_new_field_is_since_the_version_of_the_chart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = tmp_path / "since.txt"
    before.write_text("EdgeModel.spec.source 0.0.7\nEdgeModel.spec.gone 0.0.7\n")
    monkeypatch.setattr(api, "SINCE", before)
    chart = manifests.read((chart_values.CHART / "Chart.yaml").read_text())
    found = api.since()
    assert found["EdgeModel.spec.source"] == "0.0.7"
    assert found["EdgeModel.spec.placement"] == chart["version"]
    assert "EdgeModel.spec.gone" not in found


def test_the_schema_of_the_values_and_the_page_have_the_same_choices() -> None:
    schema = json.loads((chart_values.CHART / "values.schema.json").read_text())
    (policy,) = (value for value in chart_values.values() if value.path == "server.upgradePolicy")
    choices = schema["properties"]["server"]["properties"]["upgradePolicy"]["enum"]
    assert re.findall(r"`(\w+)`", policy.type) == choices
