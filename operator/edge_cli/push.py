"""``edgemodel push``: puts a model, weights or a data set into a registry."""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from edge_cli.verb import UsageError, Verb, add_credentials_option
from edgemodel import reasons
from edgemodel.compression_request import BY_CONTENT, ONNX, format_of
from edgemodel.compressor_facts import SOURCE_FORMATS
from edgemodel.digest import digest_of_file, digest_of_files
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled
from edgemodel.relative_name import check_names

ARTIFACT_TYPES: Final = {
    **{one.suffix: one.media_type for one in SOURCE_FORMATS.values() if one.suffix and one.media_type},
    ".npz": "application/vnd.edgemodel.dataset.v1",
    ".jsonl": "application/vnd.edgemodel.dataset.v1",
}
"""The OCI artifact type of each kind of file that can be pushed, by the file's suffix."""
PUSHABLE: Final = "a model (.onnx, .pt2, or a folder), weights (.safetensors) or a data set (.npz, .jsonl)"
_NO_PICKLES: Final = (
    "a pickle can run any code when it is loaded: export the model with torch.export, or save its weights"
)
PICKLED: Final = (".pt", ".pth", ".bin", ".ckpt", ".pkl")


@dataclass(frozen=True)
class Pushed:
    """The content of a push: one file, or the files of a folder."""

    files: Mapping[str, Path]
    """The files by their relative names."""
    artifact_type: str
    tag: str
    """The tag, made from the digest of the file or of all files, for a reference without one."""


def run(options: argparse.Namespace) -> int:
    """Pushes a file or a folder, and prints the ``oci://…@sha256:…`` to write into ``uri``."""
    from edge_compressor.registries.access import RegistryAccess, pushing
    from edge_oci.artifacts import push_artifact
    from edge_oci.errors import InvalidReference
    from edge_oci.references import parse_reference

    given: Path = options.file
    pushed = _checked_folder(given) if given.is_dir() else _checked_file(given)
    if options.namespace is not None:
        return _push_to_cluster(pushed, options)
    if options.reference is None:
        raise UsageError("name where to: oci://host/repository[:tag], or --namespace for the registry of a cluster")
    try:
        reference = parse_reference(options.reference)
    except InvalidReference as error:
        raise UsageError(str(error)) from error
    if not options.reference.startswith("oci://") or reference.digest:
        raise UsageError(f"want oci://host/repository[:tag] and no digest, got {options.reference}")
    access = RegistryAccess(
        docker_config=options.config, plain_http_hosts=(reference.host,) if options.plain_http else ()
    )
    with pushing(f"pushing {given}"):
        repository = access.registries("push").repository(reference)
        made = push_artifact(
            repository, pushed.files, artifact_type=pushed.artifact_type, tag=reference.tag or pushed.tag
        )
    print(f"oci://{reference.at(made.digest)}")
    return 0


def _push_to_cluster(pushed: Pushed, options: argparse.Namespace) -> int:
    """Pushes into the embedded registry of the cluster that kubectl speaks to."""
    from edge_compressor.registries.access import pushing
    from edge_compressor.registries.embedded import EmbeddedRegistry
    from edge_oci.artifacts import push_artifact
    from edge_oci.errors import InvalidReference

    if options.reference is not None:
        raise UsageError(
            "either oci://… or --namespace: the registry of a cluster has a place of its own for each namespace"
        )
    given: Path = options.file
    name = options.name or (given.resolve().name if given.is_dir() else given.stem).lower()
    embedded = EmbeddedRegistry(options.release, options.release_namespace)
    try:
        reference = embedded.reference(options.namespace, name)
    except InvalidReference as error:
        raise UsageError(f"{error}; name another with --name") from error
    if reference.tag or reference.digest:
        raise UsageError(f"--name {name}: want a repository's name alone: the tag is made from the file's digest")
    with pushing(f"pushing {given}"), embedded.repository(options.namespace, name) as repository:
        made = push_artifact(repository, pushed.files, artifact_type=pushed.artifact_type, tag=pushed.tag)
    print(f"oci://{reference.at(made.digest)}")
    return 0


def _tag_of(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _checked_file(file: Path) -> Pushed:
    """Refuses what a Job could not read later. Raises UsageError or Stalled."""
    if file.suffix in PICKLED:
        raise UsageError(f"{file}: {_NO_PICKLES} with safetensors.torch.save_file; want {PUSHABLE}")
    if file.suffix not in ARTIFACT_TYPES:
        _refuse_unread(file)
        raise UsageError(f"{file}: want {PUSHABLE}")
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    if (name := format_of(str(file))) is not None:
        from edge_compressor.formats import format_by_content

        format_by_content(file, name, what=str(file)).check(file, what=str(file), reason=reasons.SOURCE_INVALID)
        if name == ONNX:
            _check_runs(file)
    elif file.suffix == ".jsonl":
        from edge_compressor.datasets import read_json_lines

        read_json_lines(file, what=str(file))
    else:
        from edge_compressor.datasets import check_npz

        check_npz(file, what=str(file))
    return Pushed({file.name: file}, ARTIFACT_TYPES[file.suffix], _tag_of(digest_of_file(file)))


def _check_runs(file: Path) -> None:
    """Raises Stalled for a model of one file that cannot be served, as it is or as the Job puts it in order."""
    from edge_compressor.models import normal_form
    from edge_compressor.models.onnx_model import check_model

    try:
        check_model(file, what=str(file))
    except Stalled:
        with tempfile.TemporaryDirectory(prefix="edgemodel-") as scratch:
            folder = Path(scratch)
            made = normal_form.put_in_order(file, folder, what=str(file), reason=reasons.SOURCE_INVALID)
            if not made.changes:
                raise
            check_model(made.path, what=str(file))


def _refuse_unread(file: Path) -> None:
    """Raises Stalled for a file whose content is known and not read."""
    from edge_compressor.formats import format_by_content

    if file.is_file():
        format_by_content(file, BY_CONTENT, what=str(file))


def _checked_folder(folder: Path) -> Pushed:
    """Refuses a folder that is not whole; the Job, which puts graphs in order first, sees whether it runs.

    Raises UsageError or Stalled.
    """
    from edge_compressor.formats import format_by_content

    files: dict[str, Path] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in PurePosixPath(name).parts) or (file.is_dir() and not file.is_symlink()):
            continue
        if file.is_symlink() or not file.is_file():
            raise UsageError(
                f"{folder}: {name} is a link or a device: copy the files themselves (cp -rL) and push those"
            )
        if file.suffix in PICKLED and _looks_pickled(file):
            raise UsageError(f"{folder}: {name}: {_NO_PICKLES} with safetensors, and push the folder without it")
        files[name] = file
    try:
        check_names(files)
    except ValueError as error:
        raise UsageError(f"{folder}: {in_words(error)}") from error
    if not files:
        raise UsageError(f"{folder}: there is no file in it")
    found = format_by_content(folder, BY_CONTENT, what=str(folder))
    found.check(folder, what=str(folder), reason=reasons.SOURCE_INVALID)
    tag = _tag_of(digest_of_files({name: digest_of_file(file) for name, file in files.items()}))
    return Pushed(files, found.media_type, tag)


def _looks_pickled(file: Path) -> bool:
    """Returns whether a file begins as ``torch.save`` and ``pickle`` write them, rather than as plain weights."""
    with file.open("rb") as opened:
        return opened.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE_OR_FOLDER", help=PUSHABLE)
    command.add_argument("reference", metavar="oci://HOST/REPOSITORY[:TAG]", nargs="?", help="where to push")
    command.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    command.add_argument(
        "--namespace",
        metavar="NAME",
        help="instead of oci://…: push to the embedded registry of the cluster that kubectl speaks to, "
        "for EdgeModels of this namespace",
    )
    command.add_argument("--name", help="with --namespace: the repository's name; default: the file's name")
    command.add_argument("--release", default="edgemodel", help="the chart's Helm release; default: %(default)s")
    command.add_argument(
        "--release-namespace",
        default="edgemodel-system",
        help="the namespace of that release; default: %(default)s",
    )
    add_credentials_option(command)


VERB: Final = Verb(
    name="push",
    summary="push a model or a data set to a registry",
    description=f"Pushes {PUSHABLE} to a registry as an OCI artifact, and prints the oci://…@sha256:… to write into "
    "an EdgeModel. A folder is one artifact with a blob for each file; names that begin with a dot are left out. "
    "Without a tag, the tag is made from the digest of the file, or of all files.",
    add_options=_add_options,
    run=run,
)
