"""The files of a model on disk: found, and verified before anything of them is read."""

import os
import stat
from pathlib import Path

from edge_runtime.backend import LoadFailure
from edge_runtime.weight_files import LeavesFolder, files_named
from edgemodel import names, reasons
from edgemodel.artifact import ONNX_RUNTIME, ArtifactFile, ArtifactManifest, digest_of_model
from edgemodel.digest import digest_of_file
from edgemodel.error_words import in_words
from edgemodel.user_files import check_file

REVISION_LENGTH = 10
"""The number of hexadecimal digits of a model's digest that become its revision, if it has no manifest."""
SUFFIX = ".onnx"


def manifest_of(path: Path) -> ArtifactManifest:
    """Returns a manifest for a model without one: an ONNX file, or a folder that holds one.

    The name is that of the file or folder, the revision is made from the digest of the graph and its weights.
    Raises LoadFailure, and OSError.
    """
    graph = path if path.is_file() else _only_graph(path)
    try:
        weights = files_named(graph) if graph.suffix == SUFFIX else frozenset[str]()
    except LeavesFolder as error:
        raise LoadFailure(reasons.MODEL_LOAD_FAILED, f"{graph}: {error}") from error
    except ValueError:  # the runtime knows the words for a file that cannot be read
        weights = frozenset()
    if missing := sorted(name for name in weights if not (graph.parent / name).exists()):
        raise LoadFailure(
            reasons.MODEL_LOAD_FAILED, f"{graph}: {missing[0]}, in which its weights lie, is not beside it"
        )
    found = {graph.name: graph, **{name: graph.parent / name for name in sorted(weights)}}
    files = {name: ArtifactFile(digest_of_file(file), file.stat().st_size) for name, file in found.items()}
    digest = digest_of_model(files)
    revision = digest.removeprefix("sha256:")[:REVISION_LENGTH]
    name = path.stem if path.is_file() else path.resolve().name
    return ArtifactManifest(
        name, revision, names.DEFAULT_VARIANT, digest, digest, (), (), None, model_file=graph.name, files=files
    )


def verify(path: Path, manifest: ArtifactManifest) -> LoadFailure | None:
    """Returns why a file of the model is not the one that the manifest names; None if each is.

    ``path`` is the model file. The graph may name no files of weights but those of the manifest. Raises UnreadableFile
    for a model file that is none, and OSError.
    """
    check_file(path)
    files = dict(manifest.files) or {path.name: ArtifactFile(digest_of_file(path), path.stat().st_size)}
    for name, wanted in files.items():
        if (wrong := _differs(path.parent / name, wanted, links=name == path.name)) is not None:
            return LoadFailure(reasons.DIGEST_MISMATCH, wrong)
    weights = _weights_of(path, manifest)
    if isinstance(weights, LoadFailure):
        return weights
    if unknown := sorted(weights - files.keys()):
        return LoadFailure(
            reasons.DIGEST_MISMATCH, f"{path}: its weights lie in {unknown[0]!r}, which the manifest does not name"
        )
    of_model = {name: files[name] for name in (path.name, *weights)}
    if (actual := digest_of_model(of_model)) != manifest.artifact_digest:
        return LoadFailure(reasons.DIGEST_MISMATCH, f"{path}: expected {manifest.artifact_digest}, got {actual}")
    return None


def _only_graph(folder: Path) -> Path:
    found = sorted(folder.glob(f"*{SUFFIX}"))
    if len(found) != 1:
        has = ", ".join(file.name for file in found) or "none"
        message = f"{folder}: a folder without {names.MANIFEST_FILE} holds one {SUFFIX} file, this one: {has}"
        raise LoadFailure(reasons.MODEL_LOAD_FAILED, f"{message}: give the file to serve")
    return found[0]


def _differs(file: Path, wanted: ArtifactFile, *, links: bool) -> str | None:
    """Returns how the file differs from the one that is wanted; None if it does not. ``links`` may stand for it."""
    try:
        status = os.stat(file) if links else os.lstat(file)
    except FileNotFoundError:
        return f"{file} is missing"
    if not stat.S_ISREG(status.st_mode):
        return f"{file} is a link, a folder or a device"
    actual = digest_of_file(file)
    return None if actual == wanted.digest else f"{file}: expected {wanted.digest}, got {actual}"


def _weights_of(path: Path, manifest: ArtifactManifest) -> frozenset[str] | LoadFailure:
    if manifest.runtime != ONNX_RUNTIME:
        return frozenset()
    try:
        return files_named(path)
    except LeavesFolder as error:
        return LoadFailure(reasons.DIGEST_MISMATCH, f"{path}: {error}")
    except ValueError as error:
        if not manifest.files or len(manifest.files) == 1:
            return frozenset()
        return LoadFailure(reasons.MODEL_LOAD_FAILED, f"{path}: {in_words(error)}")
