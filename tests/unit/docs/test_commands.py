"""The commands of the documentation: each ``edgemodel`` has options that exist, and the first five minutes run."""

import json
import re
import shlex
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from edge_cli import kubectl_plugin
from edge_cli import main as edgemodel
from edge_cli.verb import command_parser
from examples.lab.waiting import wait_for
from tests.unit.docs.test_pages import PAGES, ROOT, name

COMMAND = re.compile(r"(?:^|[\s`])(?:\$ )?(?:\S*/bin/)?(kubectl )?edgemodel (?=[a-z]+ )([^`\n]*)")
DEADLINE_SECONDS = 60


def commands() -> Iterator[tuple[str, bool, list[str]]]:
    """Yields the place, whether it is the plug-in of kubectl, and the words of each command in a block or in a line."""
    for page in (page for page in PAGES if page.name not in {"CHANGELOG.md", "command-line.md"}):
        text = page.read_text().replace("\\\n", " ")
        blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
        blocks += re.findall(r"^ {4}\S.*$", text, re.MULTILINE) + re.findall(r"`[^`]+`", text)
        for block in blocks:
            for plugin, rest in COMMAND.findall(block):
                words = [word for word in shlex.split(rest.partition(" | ")[0], comments=True) if word != "…"]
                if words and words[0] in {verb.name for verb in (*edgemodel.VERBS, *kubectl_plugin.VERBS)}:
                    yield f"{name(page)}: {rest.strip()}", bool(plugin), words


COMMANDS = {where: (plugin, words) for where, plugin, words in commands()}


def test_there_are_commands_of_every_verb() -> None:
    assert {words[0] for _, words in COMMANDS.values()} >= {"compress", "push", "serve", "status", "retry"}


@pytest.mark.parametrize("where", COMMANDS)
def test_a_command_has_only_options_that_exist(where: str) -> None:
    plugin, words = COMMANDS[where]
    if words[0] == "serve":  # the server has a parser of its own, and prints its help
        assert all(word in help_of_serve() for word in words if word.startswith("--"))
        return
    parser = command_parser("edgemodel", "", kubectl_plugin.VERBS if plugin else edgemodel.VERBS)
    _, unknown = parser.parse_known_args(completed(words))
    assert unknown == []


@cache
def help_of_serve() -> str:
    command = [sys.executable, "-m", "edge_cli.main", "serve", "--help"]
    environment = {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def completed(words: list[str]) -> list[str]:
    """Returns the words with the one option that text leaves out where it shows another."""
    return [*words, *(["--output", "out"] if words[0] == "compress" and "--output" not in words else [])]


@pytest.mark.slow
def test_the_first_five_minutes_run_as_they_are_written(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "getting-started.md").read_text()
    section = page.partition("## Without Kubernetes")[2].partition("\n## ")[0]
    make, serve, ask = re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    port = str(free_port())

    def script(text: str) -> list[str]:
        """Returns the block as a command of this environment: the one that it makes would only hold the same."""
        program = f"{shlex.quote(sys.executable)} -m edge_cli.main"
        text = "".join(
            line for line in text.splitlines(keepends=True) if " -m venv " not in line and "/pip " not in line
        )
        text = text.replace("/tmp/edgemodel/bin/edgemodel", program).replace(
            "/tmp/fashion-mnist", str(tmp_path / "out")
        )
        return [
            "bash",
            "-euc",
            text.replace(":8080", f":{port}").replace("./request.py", f"{sys.executable} request.py"),
        ]

    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"}
    subprocess.run(script(make), cwd=ROOT, env=environment, capture_output=True, check=True)
    assert {"report.md", "report.html", "model.onnx"} <= {path.name for path in (tmp_path / "out").iterdir()}
    command = ["bash", "-c", f"exec {script(serve)[2].strip()} --port {port}"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            wait_until_ready(port)
            done = subprocess.run(script(ask), cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        finally:
            server.terminate()
        assert server.stdout is not None
        assert server.stdout.read().split()[2:4] == ["takes", "image"]
    assert json.loads(done.stdout.partition("\n")[0].partition("T-shirt")[0])["model_name"] == "fashion-mnist"
    assert done.stdout.count("seen as") == 10
    assert done.stdout.count("wrong") == 1


def wait_until_ready(port: str) -> None:
    def answers() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=1) as reply:
            return bool(reply.status == 200)

    wait_for("the server is ready", answers, timeout_s=DEADLINE_SECONDS, interval_s=0.1, not_yet=OSError)
