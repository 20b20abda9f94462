"""Reads and patches EdgeModels through kubectl, and so with the user's own rights and way of signing in."""

import argparse
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from edgemodel.error_words import in_words, printed
from edgemodel.json_text import parse_json


class KubectlError(Exception):
    """kubectl is missing or refused; the message is its own."""


def run(arguments: Sequence[str]) -> str:
    """Runs kubectl and returns its standard output. Raises KubectlError."""
    program = shutil.which("kubectl")
    if program is None:
        raise KubectlError("kubectl is not on PATH")
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise KubectlError(f"{program} cannot be run: {in_words(error)}") from error
    if done.returncode != 0:
        raise KubectlError(printed(done.stderr) or f"kubectl exited with {done.returncode}")
    return done.stdout


def add_model_options(command: argparse.ArgumentParser) -> None:
    """Adds the options that name one EdgeModel."""
    command.add_argument("name", help="the EdgeModel's name")
    command.add_argument("-n", "--namespace", help="its namespace; default: that of the kubeconfig's context")
    command.add_argument("--context", help="a context of the kubeconfig; default: the current one")


def get_model(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the EdgeModel that the options name. Raises KubectlError."""
    text = run(["get", "edgemodel", options.name, "-o", "json", *_place(options)])
    try:
        found = parse_json(text)
    except ValueError as error:
        raise KubectlError(f"what kubectl answers is not JSON: {in_words(error)}") from error
    if not isinstance(found, dict):
        raise KubectlError("what kubectl answers is no EdgeModel")
    return found


def patch_rollout(options: argparse.Namespace, rollout: Mapping[str, Any], outcome: str) -> int:
    """Merges ``rollout`` into ``spec.rollout``, prints the outcome and returns the exit code. Raises KubectlError."""
    patch = json.dumps({"spec": {"rollout": rollout}})
    run(["patch", "edgemodel", options.name, "--type=merge", "-p", patch, *_place(options)])
    print(f"edgemodel/{options.name} {outcome}. If Git is the source of this manifest, change it there, too.")
    return 0


def _place(options: argparse.Namespace) -> list[str]:
    namespace = ["--namespace", options.namespace] if options.namespace else []
    return [*namespace, *(["--context", options.context] if options.context else [])]
