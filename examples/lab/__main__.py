"""The command line of the lab: ``python -m examples.lab --help``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from . import cluster, nodes, processes, tools
from .layout import FILES, KUBECONFIG, LOGS, NODES, REGISTRY, REGISTRY_PORT, node_named
from .machine import require_root
from .progress import LabError, print_progress


def up(_: argparse.Namespace) -> int:
    """Makes the lab healthy and prints the line that exports its KUBECONFIG. Returns exit status 0."""
    cluster.up()
    print(f"export KUBECONFIG={KUBECONFIG}")
    return 0


def down(_: argparse.Namespace) -> int:
    """Removes the lab, except for its logs. Returns exit status 0."""
    cluster.down()
    print_progress("the lab is down")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Prints the state of the lab, as JSON if asked. Returns exit status 0 if the lab is healthy, otherwise 1."""
    now = cluster.status()
    if arguments.json:
        print(json.dumps(now.as_dict(), indent=2))
    else:
        for name, good in now.components.items():
            print(f"{name:<24} {'running' if good else 'MISSING'}")
        for name, good in now.nodes.items():
            link = ", link cut" if name in now.cut else ""
            print(f"node {name:<19} {'Ready' if good else 'NOT READY'}{link}")
        print(f"registry                 127.0.0.1:{REGISTRY_PORT} here, {REGISTRY} for nodes and pods")
        print(f"files                    {FILES} is http://files.lab:8000/ for pods")
        print(f"KUBECONFIG               {KUBECONFIG}")
    return 0 if now.healthy else 1


def kubeconfig(_: argparse.Namespace) -> int:
    """Prints the path of the administrator's kubeconfig. Raises LabError if there is no lab."""
    if not KUBECONFIG.exists():
        raise LabError("no lab: python -m examples.lab up")
    print(KUBECONFIG)
    return 0


def cut(arguments: argparse.Namespace) -> int:
    """Cuts the link of the node. Returns exit status 0."""
    cluster.cut(node_named(arguments.node))
    return 0


def join(arguments: argparse.Namespace) -> int:
    """Restores the link of the node. Returns exit status 0."""
    cluster.join(node_named(arguments.node))
    return 0


def slow(arguments: argparse.Namespace) -> int:
    """Limits all pods of the node together to a share of one processor, or removes the limit. Returns exit status 0."""
    cluster.slow(node_named(arguments.node), arguments.share)
    return 0


def execute(arguments: argparse.Namespace) -> int:
    """Runs a command in the node's network namespace and returns its exit status. Raises LabError if none is given."""
    require_root()
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not words:
        raise LabError("exec: what is to be run? python -m examples.lab exec NODE -- COMMAND …")
    return nodes.node_exec(node_named(arguments.node), words).returncode


def logs(arguments: argparse.Namespace) -> int:
    """Prints the end of a log, or lists all logs if none is named. Raises LabError if there is no such log."""
    if arguments.name is None:
        for path in sorted(LOGS.glob("*.log")):
            print(f"{path.stem:<24} {path.stat().st_size:>10} bytes  {path}")
        return 0
    path = processes.log_of(arguments.name)
    if not path.exists():
        raise LabError(f"no log {arguments.name!r}; `logs` without a name lists them")
    follow = ["-f"] if arguments.follow else []
    return subprocess.call(["tail", f"--lines={arguments.lines}", *follow, str(path)])


def show_tools(_: argparse.Namespace) -> int:
    """Prints the path of a folder with helm and kubectl, which it downloads if necessary."""
    print(tools.bin_dir())
    return 0


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line; its result has the function of the chosen command in ``act``."""
    whole = argparse.ArgumentParser(prog="python -m examples.lab", description="A real edge cluster on this machine.")
    commands = whole.add_subparsers(metavar="COMMAND", required=True)
    node_names = [node.name for node in NODES]

    def command(name: str, act: object, text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(act=act)
        return one

    command("up", up, "make the lab, or make sure that it is there; prints the KUBECONFIG line")
    command("down", down, "end the lab; nothing of it stays but its logs")
    one = command("status", status, "what runs; exit status 1 unless all does")
    one.add_argument("--json", action="store_true", help="for programs")
    command("kubeconfig", kubeconfig, "print the path of the administrator's kubeconfig")
    one = command("cut", cut, "take the link of a node away (NotReady some 12 s later)")
    one.add_argument("node", choices=node_names)
    one = command("join", join, "give a node its link back (Ready some 6 s later)")
    one.add_argument("node", choices=node_names)
    one = command("slow", slow, "give the pods of a node a share of one processor")
    one.add_argument("node", choices=node_names)
    one.add_argument("share", type=float, nargs="?", help="such as 0.1; left out: as much as there is")
    one = command("exec", execute, "run a command in the network namespace of a node")
    one.add_argument("node", choices=node_names)
    one.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND …")
    one = command("logs", logs, "list the logs, or print the end of one")
    one.add_argument("name", nargs="?", metavar="NAME")
    one.add_argument("-n", "--lines", type=int, default=50)
    one.add_argument("-f", "--follow", action="store_true")
    command("tools", show_tools, "print a folder with helm and kubectl")
    return whole


def main() -> int:
    """Runs the command and returns its exit status: 1 after a LabError, which it prints, and 130 after Ctrl-C."""
    arguments = parser().parse_args()
    try:
        return int(arguments.act(arguments))
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
