"""The server of this project as a client of OpenAI's interface sees it: over HTTP, as a stream, with sampling."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from examples.lab.ports import free_port
from tests.bench.language_models import bare
from tests.bench.language_processes import CONTEXT, processor_seconds

ROOT: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 600
SAMPLING: Final = {"temperature": 0.8, "top_p": 0.95, "seed": 7}


class Server:
    """A server with one model, named m."""

    def __init__(self, port: int, pid: int) -> None:
        self._port, self.pid = port, pid

    def ask(self, prompt: Sequence[int], count: int) -> tuple[float, int]:
        """Returns the processor time of a streamed answer to the tokens of a prompt, in seconds, and the number of its
        tokens, which an end may keep below ``count``. Raises RuntimeError."""
        asked = {
            "model": "m", "prompt": list(prompt), "max_tokens": count, "stream": True,
            "stream_options": {"include_usage": True}, **SAMPLING,
        }  # fmt: skip
        start = processor_seconds(self.pid)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
        connection.request("POST", "/v1/completions", json.dumps(asked), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read().decode()
        took = processor_seconds(self.pid) - start
        connection.close()
        events = [line.removeprefix("data: ") for line in said.splitlines() if line.startswith("data: ")]
        if answer.status != 200 or not events or events[-1] != "[DONE]":
            raise RuntimeError(f"the server answers {answer.status}: {said[-300:]}")
        usage = next(one["usage"] for one in map(json.loads, reversed(events[:-1])) if one.get("usage"))
        return took, int(usage["completion_tokens"])


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Yields a server on one thread with the model in ``folder``, once it is ready."""
    port = free_port()
    program = "from inference_server.serve_cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    limits = ["--context-tokens", str(CONTEXT), "--sequences", "1", "--concurrency", "1", "--intra-op-threads", "1"]
    command = [sys.executable, "-c", program, str(folder), "--model", "m", "--port", str(port), *limits]
    variables = bare() | {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"}
    with open(os.devnull, "w") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _is_ready(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the server did not become ready: {process.returncode}")
                time.sleep(0.1)
            yield Server(port, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
