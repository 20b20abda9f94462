"""``edgemodel push``: puts a model, weights or a data set into a registry."""

import argparse
from pathlib import Path
from typing import Final

from edge_cli.verb import UsageError, Verb, add_credentials_option
from edgemodel import reasons
from edgemodel.compression_request import ONNX, format_of
from edgemodel.compressor_facts import SOURCE_FORMATS
from edgemodel.digest import digest_of_file

ARTIFACT_TYPES: Final = {
    **{one.suffix: one.media_type for one in SOURCE_FORMATS.values() if one.suffix and one.media_type},
    ".npz": "application/vnd.edgemodel.dataset.v1",
}
"""The OCI artifact type of each kind of file that can be pushed, by the file's suffix."""
PUSHABLE: Final = "a model (.onnx, .pt2), weights (.safetensors) or a data set (.npz)"
PICKLED: Final = (".pt", ".pth", ".bin", ".ckpt", ".pkl")


def run(options: argparse.Namespace) -> int:
    """Pushes a file and prints the ``oci://…@sha256:…`` to write into ``uri``."""
    from edge_compressor.registries.access import RegistryAccess, pushing
    from edge_oci.artifacts import push_artifact
    from edge_oci.errors import InvalidReference
    from edge_oci.references import parse_reference

    file: Path = options.file
    _check_file(file)
    if options.namespace is not None:
        return _push_to_cluster(file, options)
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
    tag = reference.tag or _tag_of(file)
    with pushing(f"pushing {file}"):
        repository = access.registries("push").repository(reference)
        pushed = push_artifact(repository, {file.name: file}, artifact_type=ARTIFACT_TYPES[file.suffix], tag=tag)
    print(f"oci://{reference.at(pushed.digest)}")
    return 0


def _push_to_cluster(file: Path, options: argparse.Namespace) -> int:
    """Pushes into the embedded registry of the cluster that kubectl speaks to."""
    from edge_compressor.registries.access import pushing
    from edge_compressor.registries.embedded import EmbeddedRegistry
    from edge_oci.artifacts import push_artifact
    from edge_oci.errors import InvalidReference

    if options.reference is not None:
        raise UsageError(
            "either oci://… or --namespace: the registry of a cluster has a place of its own for each namespace"
        )
    name = options.name or file.stem.lower()
    embedded = EmbeddedRegistry(options.release, options.release_namespace)
    try:
        reference = embedded.reference(options.namespace, name)
    except InvalidReference as error:
        raise UsageError(f"{error}; name another with --name") from error
    if reference.tag or reference.digest:
        raise UsageError(f"--name {name}: want a repository's name alone: the tag is made from the file's digest")
    with pushing(f"pushing {file}"), embedded.repository(options.namespace, name) as repository:
        pushed = push_artifact(
            repository, {file.name: file}, artifact_type=ARTIFACT_TYPES[file.suffix], tag=_tag_of(file)
        )
    print(f"oci://{reference.at(pushed.digest)}")
    return 0


def _tag_of(file: Path) -> str:
    return digest_of_file(file).removeprefix("sha256:")[:12]


def _check_file(file: Path) -> None:
    """Refuses what a Job could not read later. Raises UsageError or Stalled."""
    if file.suffix in PICKLED:
        why = "a pickle can run any code when it is loaded: export the model with torch.export, or save its weights"
        raise UsageError(f"{file}: {why} with safetensors.torch.save_file; want {PUSHABLE}")
    if file.suffix not in ARTIFACT_TYPES:
        raise UsageError(f"{file}: want {PUSHABLE}")
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    if (name := format_of(str(file))) is not None:
        from edge_compressor.formats import FORMATS
        from edge_compressor.models.onnx_model import check_model

        FORMATS[name].check(file, what=str(file), reason=reasons.SOURCE_INVALID)
        if name == ONNX:
            check_model(file, what=str(file))
        return
    from edge_compressor.datasets import check_npz

    check_npz(file, what=str(file))


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE", help=PUSHABLE)
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
    "an EdgeModel. Without a tag, the tag is made from the file's digest.",
    add_options=_add_options,
    run=run,
)
