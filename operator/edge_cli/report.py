"""``edgemodel report``: prints the report of an artifact, from a folder or from an image in a registry."""

import argparse
from pathlib import Path
from typing import Final

from edge_cli.verb import UsageError, Verb, add_credentials_option
from edgemodel.names import PAGE_FILE, REPORT_FILE

REPORTS: Final = (REPORT_FILE, PAGE_FILE)
"""The reports of an artifact. If the budget is missed, they alone are written, and say why."""


def run(options: argparse.Namespace) -> int:
    """Prints the report in Markdown, or writes the one in HTML and prints its path."""
    reports = _reports(options)
    if REPORT_FILE not in reports:
        raise UsageError(f"{options.artifact} holds no {REPORT_FILE}, so it is not an artifact")
    if options.html is None:
        print(reports[REPORT_FILE].decode())
        return 0
    if PAGE_FILE not in reports:
        raise UsageError(f"{options.artifact} holds no {PAGE_FILE}: an older compressor made it")
    options.html.write_bytes(reports[PAGE_FILE])
    print(options.html)
    return 0


def _reports(options: argparse.Namespace) -> dict[str, bytes]:
    """Returns the reports of an artifact by file name; those that it lacks are left out."""
    if not options.artifact.startswith("oci://"):
        folder = Path(options.artifact)
        return {name: (folder / name).read_bytes() for name in REPORTS if (folder / name).is_file()}
    from edge_compressor.publishing.artifact_reader import read_notes
    from edge_compressor.registries.access import RegistryAccess
    from edge_oci.errors import InvalidReference
    from edge_oci.references import parse_reference

    try:
        reference = parse_reference(options.artifact)
    except InvalidReference as error:
        raise UsageError(str(error)) from error
    hosts = (reference.host,) if options.plain_http else ()
    return read_notes(reference, RegistryAccess(docker_config=options.config, plain_http_hosts=hosts))


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("artifact", metavar="DIR_OR_URI", help="a folder, or oci://host/repository@sha256:…")
    command.add_argument(
        "--html", type=Path, metavar="FILE", help="write the HTML report, with its plots, to FILE instead"
    )
    command.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    add_credentials_option(command)


VERB: Final = Verb(
    name="report",
    summary="print the report of an artifact",
    description="Prints report.md of an artifact: from a folder that compress wrote, or from an image in a registry, "
    "such as oci://registry.example/vision/defects@sha256:… from the revision's status.",
    add_options=_add_options,
    run=run,
)
