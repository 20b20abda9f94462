"""The report with plots: safe to open, small, and drawn from the numbers."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_compressor import pipeline
from edge_compressor.datasets import Dataset
from edge_compressor.evaluation.tasks.classification import Classification
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.reports import html, markdown
from edge_compressor.reports.plots import confusion, latency, pareto, per_class
from edge_compressor.reports.plots.svg import label, ticks
from edge_compressor.sources.fetcher import Fetcher
from edgemodel.artifact import ArtifactManifest
from edgemodel.budget import Budget
from edgemodel.compression_request import CompressionRequest, Recipe, Source
from tests.unit.edge_compressor.conftest import Files

EVIL = "<script>alert(1)</script> & \"'`|\n"
HARMLESS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "table", "tr", "th", "td", "ul", "li",
    "code", "svg", "text", "line", "rect", "circle", "path",
}  # fmt: skip


class Tags(HTMLParser):
    """The tags of a page, and those that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def manifest(residual: Files, tmp_path_factory: pytest.TempPathFactory) -> ArtifactManifest:
    folder = tmp_path_factory.mktemp("report")
    request = CompressionRequest(
        source=Source(str(residual.model)),
        datasets={"calibration": Source(str(residual.calibration)), "evaluation": Source(str(residual.evaluation))},
        recipes=(Recipe("default", ({"name": "int8", "type": "QuantizeStatic"},)),),
        budget=Budget(max_size_bytes=20_000),
    )
    with (folder / "log").open("w") as stream:
        progress = Progress(stream)
        fetcher = Fetcher(RegistryAccess(), progress, local_paths=True)
        (result,) = pipeline.run(request, EVIL, fetcher, folder / "work", progress)
    assert (result.folder / "report.html").stat().st_size < 300_000
    return result.manifest


def many_classes(count: int) -> dict[str, Any]:
    """Returns an evaluation in which every cell of the confusion matrix may be filled, with the worst names."""
    random = np.random.default_rng(0)
    label = random.integers(0, count, 40_000)
    source, artifact = (np.where(random.random(40_000) < 0.5, label, random.integers(0, count, 40_000)) for _ in "ab")
    dataset = Dataset("evaluation set", {}, label, 40_000, -1, None, tuple(f"{EVIL}{place}" for place in range(count)))
    return Classification().compare(dataset, {"class": source}, {"class": artifact}).to_json()


def test_words_of_users_are_never_markup(manifest: ArtifactManifest) -> None:
    steps = [{**manifest.evidence["steps"][0], "tried": [{"name": EVIL, "sizeBytes": 9000, "score": 0.5}]}]
    text = html.render(
        replace(manifest, evidence={**manifest.evidence, "evaluation": many_classes(10), "steps": steps})
    )
    parser = Tags()
    parser.feed(text)
    assert parser.open == []
    assert parser.seen <= HARMLESS
    assert not {name for name in parser.attributes if name.startswith("on") or name in ("href", "src")}
    assert text.count("&lt;script&gt;") >= 12


def test_nothing_is_loaded_and_no_script_may_run(manifest: ArtifactManifest) -> None:
    text = html.render(manifest)
    assert "default-src 'none'" in text
    addresses = set(re.findall(r"https?://[^\"' <]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("classes", [2, 64, 1000])
def test_it_stays_below_300_kb_for_any_number_of_classes(manifest: ArtifactManifest, classes: int) -> None:
    text = html.render(replace(manifest, evidence={**manifest.evidence, "evaluation": many_classes(classes)}))
    assert 5_000 < len(text.encode()) < 300_000


def test_the_same_manifest_gives_the_same_page_and_a_decoded_one_too(manifest: ArtifactManifest) -> None:
    assert html.render(manifest) == html.render(manifest)
    assert "accuracy in %, up is better" in html.render(ArtifactManifest.decode(manifest.encode()))


def test_without_an_evaluation_set_sizes_are_drawn_against_latency(manifest: ArtifactManifest) -> None:
    text = html.render(replace(manifest, evidence={**manifest.evidence, "evaluation": None}))
    assert "milliseconds, down is better" in text
    assert "Confusion" not in text


def test_words_of_users_break_no_table_of_the_markdown(manifest: ArtifactManifest) -> None:
    text = markdown.render(replace(manifest, evidence={**manifest.evidence, "evaluation": many_classes(3)}))
    rows = [line for line in text.splitlines() if line.startswith("| \\<script>")]
    assert len(rows) == 3
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


# --- the plots ---


def test_the_front_is_what_nothing_else_beats_in_both() -> None:
    values = [(10.0, 90.0), (5, 80), (6, 79), (8, 85), (9, 85), (5, 70)]
    points = [pareto.Point("", size, value, "tried") for size, value in values]
    front = pareto.dominating(points, better_up=True)
    assert [(one.kilobytes, one.value) for one in front] == [(5, 80), (8, 85), (10, 90)]
    fast = pareto.dominating(points, better_up=False)
    assert [(one.kilobytes, one.value) for one in fast] == [(5, 70)]


def test_every_time_on_the_axis_is_in_one_bin() -> None:
    found = latency.counts([1.0, 1.0, 2.0, 5.0, 9.0], 1.0, 5.0)
    assert (found[0], found[10], found[-1], sum(found)) == (2, 1, 1, 4)


def test_neighbours_of_one_shade_are_one_stroke_and_empty_cells_none() -> None:
    picture = confusion.plot([[8, 1, 1], [0, 10, 0], [0, 0, 0]], [], "source")
    strokes = re.findall(r"M[^Mz]*z", picture)
    assert len(strokes) == 3  # a diagonal cell of 0.8, two neighbours of 0.1 in one, a diagonal cell of 1


def test_the_shade_grows_with_the_share() -> None:
    assert [confusion.shade(share) for share in (0.001, 0.1, 0.5, 1.0)] == [0, 2, 5, 7]


def test_a_class_that_lost_for_sure_is_drawn_in_red_on_top() -> None:
    classes = [
        {"name": name, "dropPercent": drop, "lowerPercent": drop - 3, "upperPercent": drop + 3}
        for name, drop in (("a", 1.0), ("b", 9.0), ("c", -2.0))
    ]
    picture = per_class.plot({"classes": classes, "perClass": "recall"})
    assert picture.count("#b3261e") == 1
    names = [name for name in re.findall(r">([^<>]+)</text>", picture) if name in "abc"]
    assert names == ["b", "a", "c"]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 17), (0.0479, 0.0742), (88, 90), (1e6, 3e6)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 6
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)
    assert all(len(label(value).replace(",000", "")) <= 5 for value in found)


def test_an_axis_of_one_value_does_not_divide_by_zero() -> None:
    evidence: dict[str, Any] = {
        "source": {"sizeBytes": 1000}, "artifact": {"sizeBytes": 1000}, "latency": None, "steps": [],
        "evaluation": {"source": {"score": 1.0}, "artifact": {"score": 1.0}},
    }  # fmt: skip
    assert "<svg" in pareto.plot(evidence)
    same = {"p50Milliseconds": 1.0, "p95Milliseconds": 1.0, "milliseconds": [1.0, 1.0]}
    assert "<svg" in latency.plot({"source": same, "artifact": same})


def test_a_manifest_of_before_has_a_report_without_times(manifest: ArtifactManifest, tmp_path: Path) -> None:
    bare = {which: {"p50Milliseconds": 1.0, "p95Milliseconds": 2.0} for which in ("source", "artifact")}
    assert latency.plot({"runs": 10, **bare}) == ""
