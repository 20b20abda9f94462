"""Writes the table of tasks into docs/compression/evaluation.md: ``python docs/tasks.py``.

With ``--check`` it only compares.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]

from docs.generated_table import GeneratedTable  # noqa: E402 - the path comes first
from edge_compressor.evaluation import TASKS  # noqa: E402
from edge_compressor.evaluation.task import TaskType  # noqa: E402


def rows(tasks: Iterable[TaskType] = TASKS.values()) -> Iterator[str]:
    """Yields the Markdown rows of the table."""
    yield "| task | `label` | score | its interval |"
    yield "|---|---|---|---|"
    for task in tasks:
        named = task.type
        if task.infer is None:
            named += " (every decoder)" if task.decoders else " (only with `--task`)"
        yield f"| {named} | {task.label} | {task.score} | {task.interval} |"


TABLE = GeneratedTable("tasks", "docs/tasks.py", (ROOT / "docs" / "compression" / "evaluation.md",), rows)


if __name__ == "__main__":
    sys.exit(TABLE.main(check="--check" in sys.argv[1:]))
