"""Turns a conversation into the text of a prompt, by the chat template of the model.

The template renders in a process of its own (``template_process``), because it comes with the model.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from threading import Lock
from time import monotonic
from typing import Any

from edge_runtime.backend import LoadFailure
from edgemodel import reasons
from edgemodel.json_text import parse_json
from inference_server.errors import InvalidRequest

PROCESSOR_SECONDS = 2
"""The processor time of one rendering."""
MEMORY_BYTES = 256 * 2**20
"""The memory of the process that renders."""
_WALL_SECONDS = 30.0
"""The longest time to wait for a rendering: on a busy node, the limit of processor time takes longer."""

_MAX_KNOWN = 256
"""The number of kinds of conversations that are remembered."""
_MAX_ROLES = 64
"""The number of messages of the longest of them."""

Message = Mapping[str, Any]
"""A message of a conversation: its ``role``, and its ``content`` as one text."""


class TemplateFailure(Exception):
    """The template cannot be rendered; the message says why."""


class ChatTemplate:
    """The template of one model. It is safe to call from several threads."""

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        """Takes ``special``, the names of special tokens for the template, such as ``eos_token``.

        Raises LoadFailure for a template that cannot be rendered at all.
        """
        self._source, self._special = source, dict(special)
        self._lost: dict[tuple[str, ...], str | None] = {}
        """The roles that are left out of conversations, by the roles of their messages."""
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._render([{"role": "user", "content": "hello"}])
        except InvalidRequest:
            pass  # it refuses this conversation, which is its right
        except TemplateFailure as error:
            self.close()
            raise LoadFailure(reasons.MODEL_LOAD_FAILED, f"the chat template cannot be used: {error}") from error

    def render(self, messages: Sequence[Message]) -> str:
        """Returns the text of the prompt, which holds the content of every message that a client wrote.

        A ``developer`` message becomes one of the role ``system`` for a template that does not know that role. Raises
        InvalidRequest with the template's words for a conversation that it refuses, or of which it leaves out a
        message.
        """
        try:
            lost = self._left_out([str(message["role"]) for message in messages])
            if lost == "developer":
                messages = [{**one, "role": "system" if one["role"] == lost else one["role"]} for one in messages]
                lost = self._left_out([str(message["role"]) for message in messages])
            if lost is not None:
                raise InvalidRequest(f"the model's chat template leaves out messages of the role {lost!r}", "messages")
            return self._render(messages)
        except TemplateFailure as error:
            raise InvalidRequest(
                f"the model's chat template cannot render these messages: {error}", "messages"
            ) from error

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._end()

    def _left_out(self, roles: Sequence[str]) -> str | None:
        """Returns the role of a message that a conversation in these ``roles`` loses; None if it loses none.

        It is rendered with a number for each message, which no template cuts or changes, as it may the words of a
        client: answers of the model lose what it thought. Raises InvalidRequest if the template refuses the
        conversation, and TemplateFailure.
        """
        known = tuple(roles)
        if known in self._lost:
            return self._lost[known]
        numbered = {str(10**9 + number): role for number, role in enumerate(roles)}
        text = self._render([{"role": role, "content": number} for number, role in numbered.items()])
        lost = next((role for number, role in numbered.items() if number not in text), None)
        if len(roles) <= _MAX_ROLES:
            if len(self._lost) == _MAX_KNOWN:
                self._lost.clear()
            self._lost[known] = lost
        return lost

    def _render(self, messages: Sequence[Message]) -> str:
        variables = {"messages": list(messages), "add_generation_prompt": True, "tools": None, **self._special}
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            answer = self._ask(variables)
        if "refused" in answer:
            raise InvalidRequest(f"the model's chat template refuses these messages: {answer['refused']}", "messages")
        if "error" in answer:
            raise TemplateFailure(str(answer["error"]))
        return str(answer["text"])

    def _start(self) -> None:
        self._end()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "inference_server.generate.template_process",
                str(PROCESSOR_SECONDS),
                str(MEMORY_BYTES),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(sys.path), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        answer = self._ask(self._source)
        if "error" in answer:
            self._end()
            raise TemplateFailure(str(answer["error"]))

    def _ask(self, value: Any) -> dict[str, Any]:
        process = self._process
        assert process is not None, "it was started"
        assert process.stdin is not None, "it has pipes"
        assert process.stdout is not None, "it has pipes"
        try:
            process.stdin.write(json.dumps(value).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            pass  # it has ended, which the end of its output shows
        line = _read_line(process.stdout.fileno(), monotonic() + _WALL_SECONDS)
        if line is None:
            self._end()
            raise TemplateFailure(
                f"it does not end within {PROCESSOR_SECONDS} s of processor time, or takes too much memory"
            )
        try:
            answer: dict[str, Any] = parse_json(line)
        except ValueError as error:
            raise TemplateFailure("its text is not Unicode") from error
        return answer

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _read_line(file: int, deadline: float) -> bytes | None:
    """Returns the next line; None at the end of the file or at the deadline."""
    waiting = select.poll()  # select.select takes no file above 1023
    waiting.register(file, select.POLLIN)
    parts: list[bytes] = []
    while waiting.poll(max(0, (deadline - monotonic()) * 1000)):
        part = os.read(file, 65536)
        if not part:
            return None
        parts.append(part)
        if part.endswith(b"\n"):
            return b"".join(parts)
    return None
