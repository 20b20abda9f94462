"""The properties of the tree itself."""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listing.stdout.splitlines()]


def test_operator_is_a_source_root_and_never_a_package() -> None:
    """An ``__init__.py`` there would shadow the standard library's ``operator``, and no Python would start here."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    subprocess.run(["python3", "-c", "import operator; operator.itemgetter"], cwd=ROOT, check=True)


def imported(file: Path) -> set[str]:
    """Returns the modules that ``file`` imports absolutely, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module or "")
    return found


def test_the_demo_and_the_lab_import_nothing_of_the_tests() -> None:
    files = tracked("examples/*.py")
    assert {"demo.py", "site.py"} <= {file.name for file in files}
    for file in files:
        assert not {name for name in imported(file) if name.partition(".")[0] == "tests"}, file


def test_the_top_level_holds_what_a_newcomer_expects_there() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert top == {
        *("pyproject.toml", "README.md", "operator", "inference_server", "charts", "crds", "tests"),
        *("Makefile", "LICENSE", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
        *(".ci", ".gitignore", ".pre-commit-config.yaml", "docs", "examples"),
    }


def test_lock_files_hold_hashes_and_no_addresses() -> None:
    locks = tracked(".ci/locks/*.txt")
    assert {lock.stem for lock in locks} == {
        "dev",
        "operator",
        "compressor",
        "trainer",
        "server",
        "generation",
        "docs",
    }
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text
        assert not re.search(r"^(nvidia|cuda|triton\b)", text, re.MULTILINE), "3.4 GB that no CPU runs"
        requirements = re.findall(r"^\S+==", text, re.MULTILINE)
        assert len(requirements) == len(
            re.findall(r"^\S+==.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)+", text, re.MULTILINE)
        )


def test_contributing_counts_the_manifests() -> None:
    count = len(tracked("tests/contract/manifests/good/*.yaml", "tests/contract/manifests/bad/*.yaml"))
    assert f" {count} manifests against a real API server" in " ".join((ROOT / "CONTRIBUTING.md").read_text().split())


def test_the_documentation_names_only_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in tracked("*.md"):
        named = re.findall(r"(?:^ *|`)(?:\S+=\S+ )*make ([a-z0-9-]+)(?=[`\n ])", page.read_text(), re.MULTILINE)
        assert set(named) <= targets, page
        if page == ROOT / "README.md":
            assert {"demo", "test", "check"} <= set(named)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def rules() -> dict[str, tuple[str, str]]:
    """Returns the prerequisites and the recipe of each target of the Makefile."""
    text = (ROOT / "Makefile").read_text()
    found = re.findall(r"^([\w$()/-]+):(?!=) *([^#\n]*).*\n((?:\t.*\n)*)", text, re.MULTILINE)
    return {target: (needs, recipe) for target, needs, recipe in found}


def test_every_make_target_brings_what_its_recipe_needs() -> None:
    made = {
        r"\$\((RUN|PYTEST|VENV)\)": "$(VENV)/ready",
        r"\$\(DOCS_VENV\)/bin": "$(DOCS_VENV)/ready",
        r"tests/(contract|e2e|lab)\b|-m lab_programs|tests\.support\.install": "lab-up",
    }
    found = rules()
    assert {"check", "bench-server", "$(VENV)/ready", "$(DOCS_VENV)/ready"} <= found.keys()
    for target, (needs, recipe) in found.items():
        for used, brings in made.items():
            if re.search(used, recipe) and target != brings:
                assert brings in needs.split(), f"{target} uses what {brings} makes"
