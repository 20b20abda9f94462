"""What the operator has to know of the compressor, which it cannot import, as a module of ``edgemodel``."""

import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "operator"))

from edge_compressor.steps import STEPS, StepType

_MODULE = '''"""What the operator knows of the compressor, which it cannot import: ``python crds/sync.py`` writes it."""

from collections.abc import Mapping
from typing import Final

STEP_READS: Final[Mapping[str, tuple[str, ...]]] = {{
{reads}}}
"""By step type: fields of the CompressionRequest that it reads besides its settings, the source and the data sets."""
'''


def facts(steps: Iterable[StepType] = STEPS.values()) -> str:
    """Returns the text of ``edgemodel/compressor_facts.py``."""
    return _MODULE.format(reads="".join(f'    "{step.type}": {_texts(step.reads)},\n' for step in steps if step.reads))


def _texts(names: tuple[str, ...]) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    return f"({listed},)" if len(names) == 1 else f"({listed})"
