"""The command ``kubectl-edgemodel``, which kubectl runs as ``kubectl edgemodel``."""

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import Any

from edge_operator.cli import kubectl
from edge_operator.cli.show import show


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, 1 when kubectl refused, 2 for a wrong command line."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.act(options))
    except kubectl.KubectlError as error:
        print(f"edgemodel: {error}", file=sys.stderr)
        return 1


def _status(options: argparse.Namespace) -> int:
    print(show(_get(options)))
    return 0


def _retry(options: argparse.Namespace) -> int:
    token = datetime.now(UTC).strftime("retry-%Y-%m-%dT%H:%M:%SZ")
    _patch(options, {"retryToken": token})
    return _said(options, f"is tried again (spec.rollout.retryToken: {token})")


def _pause(options: argparse.Namespace) -> int:
    _patch(options, {"paused": True})
    return _said(options, "is paused: no further node gets the candidate; a rollback still happens")


def _resume(options: argparse.Namespace) -> int:
    _patch(options, {"paused": False})
    return _said(options, "goes on")


def _get(options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl.run(["get", "edgemodel", options.name, "-o", "json", *_where(options)]))
    return found


def _patch(options: argparse.Namespace, rollout: dict[str, Any]) -> None:
    patch = json.dumps({"spec": {"rollout": rollout}})
    kubectl.run(["patch", "edgemodel", options.name, "--type=merge", "-p", patch, *_where(options)])


def _said(options: argparse.Namespace, text: str) -> int:
    print(f"edgemodel/{options.name} {text}. Where Git is the source of this manifest, change it there, too.")
    return 0


def _where(options: argparse.Namespace) -> list[str]:
    namespace = ["--namespace", options.namespace] if options.namespace else []
    return [*namespace, *(["--context", options.context] if options.context else [])]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kubectl edgemodel", description="Asks and tells the operator of EdgeModels, through kubectl."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, act, text in (
        ("status", _status, "what came out of the compression, where it runs, and how it is judged"),
        ("retry", _retry, "try a rejected revision once more"),
        ("pause", _pause, "stop a rollout where it is"),
        ("resume", _resume, "let a paused rollout go on"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("name", help="of the EdgeModel")
        command.add_argument("-n", "--namespace", help="default: that of the kubeconfig's context")
        command.add_argument("--context", help="of the kubeconfig; default: the current one")
        command.set_defaults(act=act)
    return parser


if __name__ == "__main__":
    sys.exit(main())
