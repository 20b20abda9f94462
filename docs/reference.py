"""Writes docs/reference from the code: ``python docs/reference.py``; with ``--check`` it only compares.

Each page is one module of ``docs/reference_pages``.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]

from docs.reference_pages import differing  # noqa: E402 - the path comes first


def main(*, check: bool) -> int:
    """Writes what is not up to date, or with ``check`` names it; returns the exit code: 1 if ``check`` finds some."""
    stale = differing()
    for path, text in stale.items():
        if check:
            print(f"{path.relative_to(ROOT)} is not up to date: run python docs/reference.py", file=sys.stderr)
        elif text is None:
            path.unlink()
        else:
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
