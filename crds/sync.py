"""Writes the chart's copy of the CRDs: ``python crds/sync.py``; with ``--check``, only compares.

The copies are templates and not in a chart's ``crds/`` folder, because Helm never upgrades what lies
there. They carry ``helm.sh/resource-policy: keep``: without it, uninstalling the chart would delete every
EdgeModel of the cluster.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
COPIES = HERE.parent / "charts" / "edgemodel" / "templates" / "crds"

HEAD = "{{- if .Values.crds.install }}\n# Generated from crds/%s by `python crds/sync.py`: change it there.\n"
NAME_LINE = "metadata:\n  name: "
KEEP = "metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n  name: "
TAIL = "{{- end }}\n"


def copy_of(original: Path) -> str:
    """The chart's template for one CRD. Raises ValueError when it would not come out of Helm as it went in."""
    text = original.read_text()
    if "{{" in text:
        raise ValueError(f"{original.name}: Helm would read '{{{{' as an action; write the rule or the text otherwise")
    if text.count(NAME_LINE) != 1:
        raise ValueError(f"{original.name}: metadata must begin with name")
    body = text[text.index("apiVersion:") :]
    return HEAD % original.name + body.replace(NAME_LINE, KEEP) + TAIL


def main(check: bool) -> int:
    wanted = {path.name: copy_of(path) for path in sorted(HERE.glob("*.yaml"))}
    present = {path.name: path.read_text() for path in sorted(COPIES.glob("*.yaml"))}
    if check:
        differing = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
        if differing:
            print(f"differ from crds/: {', '.join(differing)}; run python crds/sync.py", file=sys.stderr)
        return 1 if differing else 0
    COPIES.mkdir(parents=True, exist_ok=True)
    for name in present.keys() - wanted.keys():
        (COPIES / name).unlink()
    for name, text in wanted.items():
        (COPIES / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
