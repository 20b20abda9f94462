"""The progress of a compression Job, which reports each step to the operator when it begins."""

import json
import re
from dataclasses import dataclass

from edgemodel.error_words import in_words
from edgemodel.json_text import parse_json

PROGRESS_TOKEN_FILE = "/var/run/secrets/edgemodel/progress/token"  # noqa: S105 - a path, not a secret
"""A projected service-account token with the audience ``edgemodel-registry``; it identifies the pod that reports."""
MAX_BYTES = 1024
"""The limit of one report of a Job, in bytes."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_TYPE = re.compile(r"[A-Za-z]{1,63}")
_MAX_STEPS = 16


@dataclass(frozen=True)
class StepBegun:
    """The report that a step has begun."""

    name: str
    type: str
    number: int
    """The number of the step, from 1."""
    of: int
    variant: str = ""
    """The variant of the recipe; empty if there is one recipe for all nodes."""

    def __str__(self) -> str:
        variant = f" for variant {self.variant}" if self.variant else ""
        return f"step {self.number} of {self.of}{variant}: {self.name} ({self.type})"

    def encode(self) -> bytes:
        """Returns the body of ``POST /progress``, as JSON."""
        told = {"step": self.name, "type": self.type, "number": self.number, "of": self.of, "variant": self.variant}
        return json.dumps(told).encode()

    @classmethod
    def decode(cls, data: bytes) -> "StepBegun":
        """Raises ValueError for an invalid report: it comes from a pod of a user's namespace, and others read it in a
        status."""
        try:
            value = parse_json(data)
            step = cls(value["step"], value["type"], value["number"], value["of"], value.get("variant", ""))
            named = _NAME.fullmatch(step.name) and _TYPE.fullmatch(step.type)
            varied = step.variant == "" or _NAME.fullmatch(step.variant)
            counted = type(step.number) is type(step.of) is int and 1 <= step.number <= step.of <= _MAX_STEPS
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"no step: {in_words(error)}") from error
        if not (named and varied and counted):
            raise ValueError("no step: want a name, a type, and a number out of at most 16")
        return step
