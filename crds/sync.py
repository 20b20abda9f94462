"""Writes the generated parts of the CRDs and the chart's copies: ``python crds/sync.py``; with ``--check`` it only
compares.

generated.py makes the schemas of steps and checks from their types; facts.py makes the module from which the operator
knows the compressor without importing it. The command line has the schema of EdgeModels as JSON, by which it validates
manifests.

The copies are templates, not files in the chart's ``crds/`` folder, because Helm never upgrades files in that folder.
They carry ``helm.sh/resource-policy: keep``: without it, uninstalling the chart would delete every EdgeModel of the
cluster.
"""

import json
import sys
from pathlib import Path

import yaml
from facts import facts
from generated import for_the_desk, with_generated_parts

HERE = Path(__file__).resolve().parent
FACTS = HERE.parent / "operator" / "edgemodel" / "compressor_facts.py"
EDGE_MODEL = HERE / "edgemodels.edgemodel.io.yaml"
DESK_SCHEMA = HERE.parent / "operator" / "edge_cli" / "manifest" / "schema.json"
COPIES = HERE.parent / "charts" / "edgemodel" / "templates" / "crds"

HEAD = "{{- if .Values.crds.install }}\n# Generated from crds/%s by `python crds/sync.py`: change it there.\n"
NAME_LINE = "metadata:\n  name: "
KEEP = "metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n  name: "
TAIL = "{{- end }}\n"


def copy_of(name: str, text: str) -> str:
    """Returns the chart's template for one CRD. Raises ValueError if Helm would render it differently."""
    if "{{" in text:
        raise ValueError(f"{name}: Helm would read '{{{{' as an action; write the rule or the text otherwise")
    if text.count(NAME_LINE) != 1:
        raise ValueError(f"{name}: metadata must begin with name")
    body = text[text.index("apiVersion:") :]
    return HEAD % name + body.replace(NAME_LINE, KEEP) + TAIL


def schema_of(text: str) -> str:
    """Returns the text of ``schema.json`` for the CRD ``text``."""
    return json.dumps(for_the_desk(yaml.load(text, yaml.CSafeLoader)), indent=1, ensure_ascii=False) + "\n"


def main(check: bool) -> int:
    """Writes what is generated, or with ``check`` names what differs; returns the exit code: 1 if something differs."""
    originals = {path: with_generated_parts(path.read_text()) for path in sorted(HERE.glob("*.yaml"))}
    wanted = (
        originals
        | {FACTS: facts(), DESK_SCHEMA: schema_of(originals[EDGE_MODEL])}
        | {COPIES / path.name: copy_of(path.name, text) for path, text in originals.items()}
    )
    present = {path: path.read_text() for folder in (HERE, COPIES) for path in folder.glob("*.yaml")}
    present |= {path: path.read_text() for path in (FACTS, DESK_SCHEMA) if path.exists()}
    differing = sorted(path for path in wanted.keys() | present.keys() if wanted.get(path) != present.get(path))
    if check:
        if differing:
            names = ", ".join(str(path.relative_to(HERE.parent)) for path in differing)
            print(f"not up to date: {names}; run python crds/sync.py", file=sys.stderr)
        return 1 if differing else 0
    COPIES.mkdir(parents=True, exist_ok=True)
    for path in differing:
        if path in wanted:
            path.write_text(wanted[path])
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
