"""Generates the module of ``edgemodel`` with facts about the compressor, which the operator cannot import."""

import json
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "operator"))

from edge_compressor.evaluation import TASKS
from edge_compressor.evaluation.task import TaskType
from edge_compressor.formats import FORMATS, SourceFormat
from edge_compressor.steps import STEPS, StepType

_MODULE = '''"""Facts about the compressor, which the operator cannot import; ``python crds/sync.py`` writes them."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

STEP_READS: Final[Mapping[str, tuple[str, ...]]] = {{
{reads}}}
"""The fields of the CompressionRequest that each type of step reads, besides settings, source and data sets."""

STEP_DEFAULTS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {{
{defaults}}}
"""The key of the settings of each type of step, and their defaults as a manifest has them."""

STREAMING_STEPS: Final = frozenset({{{streaming}}})
"""The types of steps that read one weight after the other, and hold no large model as a whole."""

EVALUATION_TASKS: Final[Mapping[str, Mapping[str, str]]] = {{
{tasks}}}
"""The settings of each task of evaluation, with their descriptions."""


class FormatFacts(NamedTuple):
    """The facts about a source format that operator and command line need."""

    suffix: str
    """The suffix of its file names; empty: any."""
    media_type: str
    """The artifact type of its files in a registry; empty: they cannot be pushed."""
    image: str
    """The name of the image that its Job runs, as in ``edgemodel.job_images``."""
    is_model: bool
    """False if a user's converter has to make a model of it."""


SOURCE_FORMATS: Final[Mapping[str, FormatFacts]] = {{
{formats}}}
"""The facts of each format by its name, as in ``spec.source.format``."""
'''


def facts(tasks: Iterable[TaskType] = TASKS.values()) -> str:
    """Returns the text of ``edgemodel/compressor_facts.py``."""
    return _MODULE.format(
        reads="".join(f'    "{step.type}": {_texts(step.reads)},\n' for step in STEPS.values() if step.reads),
        defaults="".join(_defaults(step) for step in STEPS.values() if step.settings),
        streaming=", ".join(f'"{step.type}"' for step in STEPS.values() if step.streams),
        tasks="".join(_task(task) for task in tasks),
        formats="".join(f'    "{one.name}": {_fact(one)},\n' for one in FORMATS.values()),
    )


def _texts(names: tuple[str, ...]) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    return f"({listed},)" if len(names) == 1 else f"({listed})"


def _defaults(step: StepType) -> str:
    """Returns the line of a step; a default that the schema lacks is one that nobody fills in."""
    schemas = {name: setting.schema() for name, setting in step.settings.items()}
    values = {name: schema["default"] for name, schema in schemas.items() if "default" in schema}
    lines = "".join(f'            "{name}": {_value(value)},\n' for name, value in values.items())
    return f'    "{step.type}": (\n        "{step.key}",\n        {{\n{lines}        }},\n    ),\n'


def _task(task: TaskType) -> str:
    if not task.settings:
        return f'    "{task.type}": {{}},\n'
    lines = "".join(_setting_fact(name, setting.doc) for name, setting in task.settings.items())
    return f'    "{task.type}": {{\n{lines}    }},\n'


def _setting_fact(name: str, doc: str) -> str:
    """Returns the lines of a setting: its description in texts that fit on a line."""
    parts = textwrap.wrap(doc, 100, drop_whitespace=False)
    if len(parts) == 1:
        return f'        "{name}": {json.dumps(doc, ensure_ascii=False)},\n'
    lines = "".join(f"            {json.dumps(part, ensure_ascii=False)}\n" for part in parts)
    return f'        "{name}": (\n{lines}        ),\n'


def _value(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _fact(one: SourceFormat) -> str:
    is_model = one.to_artifact is not None
    return f'FormatFacts("{one.suffix}", "{one.media_type}", "{one.image.name}", {is_model})'
