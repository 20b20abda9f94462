"""Reads and patches EdgeModels through kubectl, and so with the user's own rights and way of signing in."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from edgemodel.error_words import in_words
from edgemodel.json_text import parse_json
from edgemodel.kubectl import KubectlFailure, run


def add_model_options(command: argparse.ArgumentParser) -> None:
    """Adds the options that name one EdgeModel."""
    command.add_argument("name", help="the EdgeModel's name")
    command.add_argument("-n", "--namespace", help="its namespace; default: that of the kubeconfig's context")
    command.add_argument("--context", help="a context of the kubeconfig; default: the current one")


def get_model(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the EdgeModel that the options name. Raises KubectlFailure."""
    text = run("get", "edgemodel", options.name, "-o", "json", *_place(options))
    try:
        found = parse_json(text)
    except ValueError as error:
        raise KubectlFailure(f"what kubectl answers is not JSON: {in_words(error)}") from error
    if not isinstance(found, dict):
        raise KubectlFailure("what kubectl answers is no EdgeModel")
    return found


def patch_rollout(options: argparse.Namespace, rollout: Mapping[str, Any], outcome: str) -> int:
    """Merges ``rollout`` into ``spec.rollout``, prints the outcome and returns the exit code. Raises KubectlFailure."""
    patch = json.dumps({"spec": {"rollout": rollout}})
    run("patch", "edgemodel", options.name, "--type=merge", "-p", patch, *_place(options))
    print(f"edgemodel/{options.name} {outcome}. If Git is the source of this manifest, change it there, too.")
    return 0


def _place(options: argparse.Namespace) -> list[str]:
    namespace = ["--namespace", options.namespace] if options.namespace else []
    return [*namespace, *(["--context", options.context] if options.context else [])]
