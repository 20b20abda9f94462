"""The page of the command line, from the parsers of ``edgemodel`` and ``kubectl edgemodel``."""

import argparse
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from docs.reference_pages.page import Page, cell, code, heading_anchor, plain
from edge_cli import kubectl_plugin, main, serve
from edge_cli.verb import Verb
from edge_runtime.cores import usable_cores
from inference_server.listeners import LISTENERS
from inference_server.settings import serve_parser


@dataclass(frozen=True)
class Command:
    """A verb with its parser."""

    name: str
    """The words to type, such as ``edgemodel push``."""
    verb: Verb
    parser: argparse.ArgumentParser

    @property
    def actions(self) -> list[argparse.Action]:
        """Returns its arguments and options, without the help."""
        return [action for action in self.parser._actions if action.dest != "help"]


def commands() -> list[Command]:
    """Returns every verb of both commands."""
    edgemodel = [Command(f"edgemodel {verb.name}", verb, _parser(verb)) for verb in main.VERBS]
    plugin = [Command(f"kubectl edgemodel {verb.name}", verb, _parser(verb)) for verb in kubectl_plugin.VERBS]
    return [*edgemodel, *plugin]


def _parser(verb: Verb) -> argparse.ArgumentParser:
    if verb is serve.VERB:
        return serve_parser([kind.add_flags for kind in LISTENERS])
    parser = argparse.ArgumentParser(prog=verb.name)
    verb.add_options(parser)
    return parser


def _body() -> Iterator[str]:
    found = commands()
    yield (
        "`edgemodel` runs on your own machine, without a cluster; `kubectl edgemodel` uses kubectl and its kubeconfig. "
        "Both have `--version`, and every verb `--help`; [exit codes](../exit-codes.md) are the same everywhere.\n\n"
    )
    for command in found:
        yield f"- [{command.name}](#{heading_anchor(command.name)}): {command.verb.summary}\n"
    for command in found:
        yield from _entry(command)


def _entry(command: Command) -> Iterator[str]:
    yield f"\n## {command.name}\n\n{plain(command.verb.description)}\n\n```text\n{_usage(command)}\n```\n"
    arguments = [action for action in command.actions if not action.option_strings]
    options = [action for action in command.actions if action.option_strings]
    yield from _table("argument", arguments)
    yield from _table("option", options)
    if command.verb.examples:
        yield f"\n```text\n{command.verb.examples.strip()}\n```\n"


def _table(head: str, actions: Iterable[argparse.Action]) -> Iterator[str]:
    rows = [f"| {_named(action)} | {_meaning(action)} | {_default(action)} |\n" for action in actions]
    if rows:
        yield f"\n| {head} | meaning | default |\n|---|---|---|\n"
        yield from rows


def _usage(command: Command) -> str:
    needed = [f"{action.option_strings[-1]} {_value(action)}" for action in command.actions if _is_needed(action)]
    words = [_positional(action) for action in command.actions if not action.option_strings]
    return " ".join((command.name, *words, *needed, "[options]"))


def _is_needed(action: argparse.Action) -> bool:
    return bool(action.option_strings) and action.required


def _positional(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest.upper())
    return {"*": f"[{name} ...]", "+": f"{name} ...", "?": f"[{name}]"}.get(str(action.nargs), name)


def _value(action: argparse.Action) -> str:
    """Returns the placeholder of an option's value; empty for a switch."""
    if action.nargs == 0:
        return ""
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper())


def _named(action: argparse.Action) -> str:
    if not action.option_strings:
        return code(cell(_positional(action)))
    return ", ".join(f"`{cell(f'{flag} {_value(action)}'.strip())}`" for flag in action.option_strings)


def _meaning(action: argparse.Action) -> str:
    told = (action.help or "").replace("%%", "%").replace("; default: %(default)s", "")
    return cell(told if "|" in told else plain(told)) + (" (required)" if _is_needed(action) else "")


def _default(action: argparse.Action) -> str:
    """Returns the default in words that are the same on every machine; empty if there is none."""
    value = action.default
    if value in (None, "", [], False) or value is argparse.SUPPRESS or not action.option_strings:
        return ""
    if action.dest == "node" and value == socket.gethostname():
        return "the name of the machine"
    if action.dest == "concurrency" and value == usable_cores():
        return "the usable cores"
    text = str(value)
    home = str(Path.home())
    return code(f"~{text.removeprefix(home)}" if text.startswith(f"{home}/") else text)


PAGE = Page("command-line", "Command line", "every verb of `edgemodel` and `kubectl edgemodel`", _body)
