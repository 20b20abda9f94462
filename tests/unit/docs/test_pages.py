"""The pages of the documentation: their links, their place in the site, and what stands in their blocks."""

import json
import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest

from docs.site import conf
from tests.support import manifests
from tests.unit.support.test_three_way import PARTS

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    ROOT / line
    for line in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()
)  # fmt: skip
EXTENDING = sorted((ROOT / "docs" / "extending").glob("[a-z]*.md"))
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """Returns the text of a page without its blocks of code."""
    return FENCE.sub("", path.read_text())


@cache
def anchors(path: Path) -> set[str]:
    """Returns the fragments that a forge makes of the headings of a page, and those that it names itself."""
    found: Counter[str] = Counter()
    slugs = set(re.findall(r'<a (?:id|name)="([^"]+)"', path.read_text()))
    for heading in re.findall(r"^#{1,6} +(.*?) *$", prose(path), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        slugs.add(f"{slug}-{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    return slugs


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(\s*([^)\s]+)\s*\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, fragment = unquote(target).partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), f"{target} leads nowhere"
        assert found.is_file(), f"{target} is a folder, which is no page of the site"
        if fragment and found.suffix == ".md":
            assert fragment in anchors(found), f"{target}: there is no such heading"


def test_every_page_has_a_place_in_the_site_and_a_link_from_the_list_of_pages() -> None:
    listed = {f"docs/{page}.md" for pages in conf.CONTENTS.values() for page in pages}
    assert listed <= {name(page) for page in PAGES}
    lists = [page for page in PAGES if page.name == "README.md" and name(page).startswith("docs/")]
    linked = {
        (page.parent / link).resolve() for page in lists for link in re.findall(r"\]\(([^)#]+)", page.read_text())
    }
    assert [name(page) for page in PAGES if name(page).startswith("docs/") and page not in {*linked, *lists}] == []


def test_the_tables_of_contents_have_every_page_once() -> None:
    pages = {name(page).removesuffix(".md") for page in PAGES}
    listed = re.findall(r"^/(.*)$", conf.contents(pages), re.MULTILINE)
    assert Counter(listed) == Counter(pages - {conf.root_doc})


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Returns values with those of ``above`` in place of, or beside, those of ``below``, as helm merges them."""
    both = {
        key: merged(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
        for key, value in above.items()
    }
    return {**below, **both}


@pytest.mark.parametrize("page", [page for page in PAGES if "```yaml" in page.read_text()], ids=name)
def test_every_block_of_yaml_is_an_edge_model_a_part_of_one_or_values_of_the_chart(page: Path) -> None:
    """``test_three_way`` puts the EdgeModels and their parts to the schema."""
    defaults = manifests.read((ROOT / "charts" / "edgemodel" / "values.yaml").read_text())
    values: dict[str, Any] = json.loads((ROOT / "charts" / "edgemodel" / "values.schema.json").read_text())
    for language, text in FENCE.findall(page.read_text()):
        if language != "yaml":
            continue
        block = manifests.read(text.replace("sha256:…", "sha256:" + "0" * 64))
        if text.lstrip().startswith("# values.yaml\n"):
            jsonschema.validate(merged(defaults, block), values)
        else:
            assert block.get("kind") == "EdgeModel" or block.keys() <= PARTS, text


@pytest.mark.parametrize("page", EXTENDING, ids=name)
def test_the_code_of_an_extension_is_that_of_a_file_that_the_page_names(page: Path) -> None:
    text = page.read_text()
    files = [ROOT / path for path in re.findall(r"\]\(\.\./\.\./([^)]+\.py)\)", text)]
    blocks = [code for language, code in FENCE.findall(text) if language == "python"]
    assert blocks
    for block in blocks:
        assert any(block in file.read_text() for file in files), block
