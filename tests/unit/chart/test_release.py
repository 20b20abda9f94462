"""The steps of a release, as docs/releasing.md has them."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from charts import release
from charts.release import ReleaseError
from edgemodel.version import VERSION
from examples.lab import tools

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ("operator", "server", "compressor", "trainer")
DIGESTS = {name: f"registry.example/edgemodel/{name}@sha256:{number:064x}" for number, name in enumerate(PROGRAMS)}
PARTS = ("charts", "operator/edgemodel", "pyproject.toml", "CHANGELOG.md")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Returns a copy of the parts of the tree that a release changes or packages."""
    for part in PARTS:
        place = tmp_path / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, place)
    return tmp_path


def test_the_next_version_is_written_into_package_programs_and_chart(tree: Path) -> None:
    major, minor, _ = map(int, VERSION.split("."))
    following = f"{major}.{minor + 1}.0"
    assert release.main(["version", following], tree) == 0
    assert release.version_of(tree) == following
    chart = yaml.safe_load((tree / release.CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (following, following)
    assert tomllib.loads((tree / "pyproject.toml").read_text())["project"]["version"] == following
    for path in release.PLACES:
        changed = (tree / path).read_text()
        assert changed.replace(following, VERSION) == (ROOT / path).read_text(), "nothing else changes"


@pytest.mark.parametrize(
    ("version", "why"), [(VERSION, "is not newer than"), ("0.0.1", "is not newer than"), ("v2", "is no version")]
)
def test_a_version_that_is_none_or_not_newer_is_refused(
    tree: Path, version: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release.main(["version", version], tree) == 1
    assert why in capsys.readouterr().err


def test_the_unreleased_changes_get_a_heading_once(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (tree / "CHANGELOG.md").read_text()
    assert release.main(["changelog", "--date", "2026-02-03"], tree) == 0
    after = (tree / "CHANGELOG.md").read_text()
    heading = f"\n## [{VERSION}] - 2026-02-03\n"
    assert after.replace(heading, "", 1) == before
    assert after.index(release.UNRELEASED) < after.index(heading)
    assert release.main(["changelog"], tree) == 1
    assert "has no changes below" in capsys.readouterr().err


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", version) for version in versions[1:])
    kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    for section in re.split(r"^## .*\n", text, flags=re.MULTILINE)[1:]:
        found = re.findall(r"^### (.*)$", section, re.MULTILINE)
        assert found == [kind for kind in kinds if kind in found], "each kind once, in this order"


@pytest.mark.parametrize("lacking", PROGRAMS)
def test_no_chart_is_packaged_without_the_digest_of_an_image(lacking: str) -> None:
    values = (ROOT / release.CHART / "values.yaml").read_text()
    with pytest.raises(ReleaseError, match=f"no digest of the image {lacking}"):
        release.with_images(values, {**DIGESTS, lacking: "registry.example/edgemodel/it:latest"})


def test_the_images_are_named_by_digest_and_everything_else_stays() -> None:
    values = (ROOT / release.CHART / "values.yaml").read_text()
    made = release.with_images(values, DIGESTS)
    before, after = yaml.safe_load(values), yaml.safe_load(made)
    for name in PROGRAMS:
        image = after[name]["image"]
        assert f"{image['repository']}@{image['digest']}" == DIGESTS[name]
        before[name]["image"] |= {"repository": image["repository"], "digest": image["digest"]}
    assert after == before
    changed = [line for line in zip(values.splitlines(), made.splitlines(), strict=True) if line[0] != line[1]]
    assert len(changed) == 2 * len(PROGRAMS), "comments stay, too"


def test_the_named_layers_are_named_by_digest() -> None:
    layer = f"registry.example/edgemodel/layers/tokenizers@sha256:{'7' * 64}"
    values = (ROOT / release.CHART / "values.yaml").read_text()
    made = yaml.safe_load(release.with_images(values, {**DIGESTS, "layers/tokenizers": layer}))
    assert made["server"]["layers"] == {"tokenizers": layer}


@pytest.mark.lab_programs
def test_the_steps_of_the_page_run(tree: Path) -> None:
    """Only the push of the images is not run: its digests are made up, and git, which a copy does not have."""
    page = (ROOT / "docs" / "releasing.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    (tree / "build").mkdir()
    printed = ""
    for line in blocks[0].splitlines():
        if line.startswith("git "):
            continue
        if "charts/images/build.py" in line:
            assert "--digests build/images.json" in line
            (tree / "build" / "images.json").write_text(json.dumps(DIGESTS))
            continue
        command = line.replace("build/venv/bin/python", sys.executable)
        path = f"{tools.bin_dir()}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command], cwd=tree, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        printed = done.stdout
    objects = [item for item in yaml.safe_load_all(printed) if item]
    (operator,) = (
        item for item in objects if item["kind"] == "Deployment" and item["metadata"]["name"].endswith("operator")
    )
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    variables = {item["name"]: item.get("value") for item in container["env"]}
    assert container["image"] == DIGESTS["operator"]
    assert {variables[f"EDGEMODEL_{name.upper()}_IMAGE"] for name in PROGRAMS[1:]} == {
        DIGESTS[name] for name in PROGRAMS[1:]
    }
    assert operator["metadata"]["labels"]["helm.sh/chart"] == f"edgemodel-{VERSION}"
