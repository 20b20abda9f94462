"""A program of its own that renders the chat template of a model, which comes from a stranger.

It runs in a sandbox, and within limits of memory, processor time and length; a template that exceeds them ends this
process alone. Each line of its input is a JSON object of variables, each line of its output ``{"text": …}``,
``{"refused": …}`` with the template's own words, or ``{"error": …}``. The first line of the input is the template.
"""

import json
import resource
import signal
import sys
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from edgemodel.error_words import in_words
from edgemodel.json_text import parse_json

MAX_CHARACTERS = 8 * 2**20


class Refused(TemplateError):
    """The template itself refuses the conversation."""


class TooLong(TemplateError):
    """The text is longer than MAX_CHARACTERS."""


class _Generation(Extension):
    """The block ``generation``, which marks the answers for training, and is otherwise nothing."""

    tags = {"generation"}  # noqa: RUF012 - as the class that it extends declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


def main(processor_seconds: float, memory_bytes: int) -> None:
    """Renders until the input ends. The system ends the process when one rendering takes ``processor_seconds``."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    template: Any = None
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_VIRTUAL, processor_seconds)
        try:
            given = parse_json(line)
            if template is None:
                template = _environment().from_string(given)
                answer = {"text": ""}
            else:
                answer = {"text": _rendered(template, given)}
        except Refused as error:
            answer = {"refused": str(error)}
        except RecursionError:
            answer = {"error": "it is nested too deeply"}
        except MemoryError:
            answer = {"error": f"it takes more than {memory_bytes // 2**20} MiB of memory"}
        except TemplateError as error:
            answer = {"error": _told(error)}
        except Exception as error:  # what its expressions do wrong with the variables
            answer = {"error": f"an expression fails: {in_words(error)}"}
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    return environment


def _rendered(template: Any, variables: dict[str, Any]) -> str:
    parts: list[str] = []
    size = 0
    for part in template.generate(**variables):
        size += len(part)
        if size > MAX_CHARACTERS:
            raise TooLong(f"its text has more than {MAX_CHARACTERS} characters")
        parts.append(part)
    return "".join(parts)


def _to_json(value: Any, indent: int | None = None, ensure_ascii: bool = False, **_: Any) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)


def _refuse(message: str) -> None:
    raise Refused(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)  # noqa: DTZ005 - a template names the day of the place where it runs


def _told(error: TemplateError) -> str:
    line = getattr(error, "lineno", None)
    return f"line {line}: {error.message}" if line else str(error.message)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
