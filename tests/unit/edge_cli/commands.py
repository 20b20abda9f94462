"""Runs ``edgemodel``, in this process or, like a user, in one of its own."""

import os
import subprocess
import sys
from pathlib import Path

from edge_cli import main

ROOT = Path(__file__).resolve().parents[3]


def run(*arguments: object) -> int:
    """Returns the exit code of the command, run in this process."""
    return main.main([str(argument) for argument in arguments])


def edgemodel(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the command as a process in ``folder``, which is its home as well."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}", "HOME": str(folder)}
    command = [sys.executable, "-m", "edge_cli.main", *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
