"""``edgemodel``: the compressor on a desk, and the way of models and data sets into a registry.

Exit codes are those of the Job: 0 done, 2 wrong usage, 3 something has to be changed (the message says
what), 4 worth another try.
"""

import argparse
import json
import logging
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from edgemodel import reasons
from edgemodel.converter import MODEL_FILES, MODEL_VARIABLE, WEIGHTS_FILE, WEIGHTS_VARIABLE, Converter
from edgemodel.digest import canonical_json, digest_of_file
from edgemodel.errors import EdgeModelError, Stalled
from edgemodel.names import DEFAULT_VARIANT, MANIFEST_FILE, MODEL_FILE, PAGE_FILE, REPORT_FILE, short_hash
from edgemodel.spec import DATASETS, SAFETENSORS, EdgeModelSpec, parse_spec
from edgemodel.task import AUTO, EVALUATION_TASKS, Location, Recipe

ARTIFACT_TYPES: Final = {
    ".onnx": "application/vnd.edgemodel.model.v1",
    ".pt2": "application/vnd.edgemodel.program.v1",
    ".safetensors": "application/vnd.edgemodel.weights.v1",
    ".npz": "application/vnd.edgemodel.dataset.v1",
}
"""What can be pushed, by the ending of its name."""
PUSHED: Final = "a model (.onnx, .pt2), weights (.safetensors) or a data set (.npz)"
PICKLED: Final = (".pt", ".pth", ".bin", ".ckpt", ".pkl")
REPORTS: Final = (REPORT_FILE, PAGE_FILE)
"""What is left where a budget is missed: they tell why."""

_EXAMPLES = """\
examples:
  edgemodel compress --source defects.onnx --steps steps.yaml --calibration typical.npz \\
      --evaluation labelled.npz --budget maxAccuracyDropPercent=1.0 --output compressed
  edgemodel compress -f edgemodel.yaml --output compressed
  edgemodel push defects.onnx oci://registry.example/models/defects:v1
  edgemodel report compressed --html report.html
  edgemodel serve defects.onnx

steps.yaml:
  - {name: clean, type: CleanGraph}
  - {name: int8, type: QuantizeStatic, quantizeStatic: {calibrationSamples: 256}}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["serve"]:  # the server's own options, and nothing of the compressor in its memory
        os.execv(sys.executable, [sys.executable, "-m", "inference_server.desk", *words[1:]])  # noqa: S606 - no shell
    options = _parser().parse_args(words)
    logging.basicConfig(level=logging.ERROR)  # libraries warn about what is done on purpose
    try:
        return int(options.command(options))
    except EdgeModelError as error:
        print(f"edgemodel: {error.reason}: {error.message}", file=sys.stderr)
        return error.exit_code
    except _Usage as error:
        print(f"edgemodel: {error}", file=sys.stderr)
        return 2


class _Usage(Exception):
    """The command line, or a file named on it, is not what it should be."""


def compress(options: argparse.Namespace) -> int:
    """One recipe into a folder. A missed budget leaves only the reports there."""
    from edge_compressor import pipeline  # numpy and onnxruntime take a second, which --help need not
    from edge_compressor.progress import Progress
    from edge_compressor.registry import RegistryAccess
    from edge_compressor.source import Fetcher

    order = _order(options)
    output: Path = options.output
    _check_output(output, overwrite=options.overwrite)
    progress = Progress(sys.stderr)
    access = RegistryAccess(docker_config=options.config, plain_http_hosts=tuple(options.plain_http))
    fetcher = Fetcher(access, progress, local_paths=True)
    with tempfile.TemporaryDirectory(prefix="edgemodel-") as scratch:
        (result,) = pipeline.run(order, fetcher, Path(scratch) / "work", progress)
        reason = result.decision.reason
        if reason is not None:
            for file in result.folder.iterdir():
                if file.name not in REPORTS:
                    file.unlink()
        if output.exists():
            shutil.rmtree(output)
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(result.folder, output)
    print((output / REPORT_FILE).read_text())
    if reason is not None:
        raise Stalled(reason, f"{result.decision.message} (only {' and '.join(REPORTS)} were written to {output})")
    print(f"{output / MODEL_FILE}  {result.manifest.artifact_digest}")
    return 0


def report(options: argparse.Namespace) -> int:
    """Prints the report of an artifact, in a folder or an image."""
    notes = _notes(options)
    if REPORT_FILE not in notes:
        raise _Usage(f"{options.artifact} holds no {REPORT_FILE}, so it is no artifact")
    if options.html is None:
        print(notes[REPORT_FILE].decode())
        return 0
    if PAGE_FILE not in notes:
        raise _Usage(f"{options.artifact} holds no {PAGE_FILE}: an older compressor has made it")
    options.html.write_bytes(notes[PAGE_FILE])
    print(options.html)
    return 0


def _notes(options: argparse.Namespace) -> dict[str, bytes]:
    """The reports of an artifact, by name."""
    if not options.artifact.startswith("oci://"):
        folder = Path(options.artifact)
        return {name: (folder / name).read_bytes() for name in REPORTS if (folder / name).is_file()}
    from edge_compressor.published import read_notes
    from edge_compressor.registry import RegistryAccess
    from edge_oci.errors import InvalidReference
    from edge_oci.references import parse_reference

    try:
        reference = parse_reference(options.artifact)
    except InvalidReference as error:
        raise _Usage(str(error)) from error
    hosts = (reference.host,) if options.plain_http else ()
    return read_notes(reference, RegistryAccess(docker_config=options.config, plain_http_hosts=hosts))


def push(options: argparse.Namespace) -> int:
    """A file into a registry; prints what to write into ``uri``."""
    from edge_compressor.registry import RegistryAccess, pushing
    from edge_oci.artifacts import push_artifact
    from edge_oci.errors import InvalidReference
    from edge_oci.references import parse_reference

    file: Path = options.file
    _check_file(file)
    if options.namespace is not None:
        return _push_to_cluster(file, options)
    if options.reference is None:
        raise _Usage("name where to: oci://host/repository[:tag], or --namespace for the registry of a cluster")
    try:
        reference = parse_reference(options.reference)
    except InvalidReference as error:
        raise _Usage(str(error)) from error
    if not options.reference.startswith("oci://") or reference.digest:
        raise _Usage(f"want oci://host/repository[:tag] and no digest, got {options.reference}")
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
    """Into the embedded registry of the cluster that kubectl speaks to."""
    from edge_compressor.embedded import EmbeddedRegistry
    from edge_compressor.registry import pushing
    from edge_oci.artifacts import push_artifact
    from edge_oci.errors import InvalidReference

    if options.reference is not None:
        raise _Usage(
            "either oci://… or --namespace: the registry of a cluster has a place of its own for each namespace"
        )
    name = options.name or file.stem.lower()
    embedded = EmbeddedRegistry(options.release, options.release_namespace)
    try:
        reference = embedded.reference(options.namespace, name)
    except InvalidReference as error:
        raise _Usage(f"{error}; name another with --name") from error
    with pushing(f"pushing {file}"), embedded.repository(options.namespace, name) as repository:
        pushed = push_artifact(
            repository, {file.name: file}, artifact_type=ARTIFACT_TYPES[file.suffix], tag=_tag_of(file)
        )
    print(f"oci://{reference.at(pushed.digest)}")
    return 0


def _tag_of(file: Path) -> str:
    return digest_of_file(file).removeprefix("sha256:")[:12]


def _order(options: argparse.Namespace) -> Any:
    from edge_compressor.checkpoints import CheckpointFolder
    from edge_compressor.pipeline import Order

    manifest = _read(options.file) if options.file else None
    spec = _spec(manifest, options.file) if manifest is not None else None
    source = Location(options.source, options.digest) if options.source else spec and spec.source.location
    if not source:
        raise _Usage("name a model: --source, or a manifest with -f")
    source_format = _format(source.uri) if options.source else spec.source.format if spec else "ONNX"
    if source_format == SAFETENSORS:
        raise _Usage(_by_hand(source.uri, spec.source.converter if spec else None))
    if options.steps:
        steps, budget = _steps(_read(options.steps), options.steps)
    elif spec is not None:
        steps, budget = _variant_steps(spec, options.variant), spec.compression.budget
    else:
        raise _Usage("name the steps: --steps, or a manifest with -f")
    budget = budget | _budget(options.budget)
    datasets = {use: source.location for use, source in spec.datasets.items()} if spec else {}
    datasets |= {use: Location(path) for use in DATASETS if (path := getattr(options, use))}
    evaluation = _evaluation(manifest)
    teacher = Location(options.teacher) if options.teacher else spec and spec.teacher and spec.teacher.location
    name = options.name or (manifest or {}).get("metadata", {}).get("name") or Path(source.uri).stem or "model"
    read = {"source": source, **datasets, **({"teacher": teacher} if teacher else {})}
    inputs = {use: [place.uri, place.digest] for use, place in read.items()}
    states = _states(options.state) or (spec.source.states if spec else {})
    return Order(
        model=name,
        fingerprint=short_hash(canonical_json([inputs, list(steps), *([states] if states else [])]).decode(), 16),
        source=source,
        datasets=datasets,
        teacher=teacher or None,
        checkpoints=CheckpointFolder(options.checkpoints) if options.checkpoints else None,
        teacher_format=_format(options.teacher)
        if options.teacher
        else spec.teacher.format
        if spec and spec.teacher
        else "ONNX",
        recipes=(Recipe(options.variant or DEFAULT_VARIANT, tuple(steps)),),
        budget=budget,
        golden_items=options.golden_items,
        task=options.task or evaluation.get("task") or AUTO,
        tolerance=options.tolerance or evaluation.get("tolerance"),
        states=states,
        source_format=source_format,
    )


def _states(given: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if wrong := [text for text, (taken, _, output) in zip(given, pairs, strict=True) if not (taken and output)]:
        raise _Usage(f"--state {wrong[0]}: want INPUT=OUTPUT, two names of the model's tensors")
    return {taken: output for taken, _, output in pairs}


def _spec(manifest: Any, file: Path) -> EdgeModelSpec:
    if not isinstance(manifest, dict) or manifest.get("kind") != "EdgeModel":
        raise _Usage(f"{file}: want a manifest of kind EdgeModel")
    try:
        return parse_spec(manifest.get("spec") or {})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _Usage(f"{file}: spec lacks or has a wrong {error}") from error


def _evaluation(manifest: Any) -> dict[str, Any]:
    """``spec.compression.evaluation``, where the manifest has one."""
    compression = ((manifest or {}).get("spec") or {}).get("compression") or {}
    return compression.get("evaluation") or {}


def _variant_steps(spec: EdgeModelSpec, variant: str | None) -> Sequence[dict[str, Any]]:
    by_name = {item.name: item.steps for item in spec.variants}
    wanted = variant or DEFAULT_VARIANT
    if wanted not in by_name:
        raise _Usage(f"the manifest has no variant {wanted!r}, it has {', '.join(by_name)}")
    return by_name[wanted]


def _steps(value: Any, file: Path) -> tuple[Sequence[dict[str, Any]], dict[str, Any]]:
    """A list of steps, or an object with ``steps`` and ``budget`` as under ``spec.compression``."""
    steps, budget = (value.get("steps"), value.get("budget") or {}) if isinstance(value, dict) else (value, {})
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise _Usage(f"{file}: want a list of steps, or an object with 'steps' and 'budget'")
    return steps, budget


def _teacher_format(spec: EdgeModelSpec | None) -> str:
    return spec.teacher.format if spec is not None and spec.teacher is not None else "ONNX"


def _format(uri: str) -> str:
    return {".pt2": "ExportedProgram", ".safetensors": SAFETENSORS}.get(Path(uri).suffix, "ONNX")


def _by_hand(uri: str, converter: Converter | None) -> str:
    """How weights are compressed here, where no images are run."""
    converter = converter or Converter("IMAGE")
    writes, weights = MODEL_FILES[converter.writes], Path(uri).name if uri.endswith(".safetensors") else WEIGHTS_FILE
    told = f"-e {WEIGHTS_VARIABLE}=/exchange/{weights} -e {MODEL_VARIABLE}=/exchange/{writes}"
    return (
        f"{uri} holds weights alone, and the converter that makes a model of them is run in the cluster only.\n"
        "Run it here yourself, in the folder of the weights, and compress what it writes:\n\n"
        f"  docker run --rm --network none --user $(id -u) -v $PWD:/exchange {told} "
        f"{shlex.join([converter.image, *converter.args])}\n"
        f"  edgemodel compress --source {writes} …"
    )


def _budget(entries: Sequence[str]) -> dict[str, Any]:
    budget: dict[str, Any] = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not equals:
            raise _Usage(f"--budget {entry}: want KEY=VALUE, e.g. maxAccuracyDropPercent=1.0")
        budget[key] = int(value) if key == "maxSizeBytes" and value.isdigit() else value
    return budget


def _read(file: Path) -> Any:
    """A YAML or JSON file. JSON needs nothing but Python."""
    try:
        text = file.read_text()
    except OSError as error:
        raise _Usage(f"{file} cannot be read: {error.strerror}") from error
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        import yaml  # not in the compressor's image, where nobody writes YAML
    except ImportError as error:
        raise _Usage(f"{file} is not JSON, and reading YAML needs PyYAML: pip install pyyaml") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _Usage(f"{file} is neither JSON nor YAML: {error}") from error


def _check_output(output: Path, *, overwrite: bool) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise _Usage(f"{output} is not a folder")
    names = {file.name for file in output.iterdir()}
    if names and not overwrite:
        raise _Usage(f"{output} is not empty: name another folder, or --overwrite")
    if names and not names & {MANIFEST_FILE, *REPORTS}:
        raise _Usage(f"{output} holds no artifact, so it is not overwritten")


def _check_file(file: Path) -> None:
    """What is pushed is what the Job can read: better told here than there."""
    if file.suffix in PICKLED:
        why = "a pickle runs what it likes when it is loaded: export the model with torch.export, or save its weights"
        raise _Usage(f"{file}: {why} with safetensors.torch.save_file; want {PUSHED}")
    if file.suffix not in ARTIFACT_TYPES:
        raise _Usage(f"{file}: want {PUSHED}")
    if not file.is_file():
        raise _Usage(f"there is no file {file}")
    if file.suffix == ".onnx":
        from edge_compressor.model import check_model

        check_model(file, what=str(file))
        return
    if file.suffix == ".pt2":
        from edge_compressor.training import archive

        try:
            archive.check(file)
        except archive.Unsafe as error:
            raise Stalled(reasons.SOURCE_INVALID, f"{file}: {error}") from error
        return
    if file.suffix == ".safetensors":
        from edge_compressor.safetensors import check_safetensors

        check_safetensors(file, what=str(file))
        return
    from edge_compressor.datasets import check_npz

    check_npz(file, what=str(file))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgemodel",
        description="Compresses ONNX models, measures what it costs, and pushes models and data sets to a registry.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_compress(commands)
    _add_push(commands)
    _add_report(commands)
    commands.add_parser("serve", add_help=False, help="serve models on this machine, without Kubernetes")
    return parser


def _add_compress(commands: Any) -> None:
    command = commands.add_parser(
        "compress",
        help="compress a model into a folder, as the Job would",
        description="Compresses a model as the Job in the cluster would, into a folder: model.onnx, manifest.json, "
        "report.md, report.html and golden.npz. A missed budget ends with exit code 3 and leaves only the reports.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(command=compress)
    place = "a file, or oci://, https://"
    command.add_argument("-f", "--file", type=Path, metavar="MANIFEST", help="an EdgeModel, YAML or JSON; flags win")
    command.add_argument("--source", metavar="URI_OR_PATH", help=f"the model: {place}, http:// with --digest")
    command.add_argument("--digest", metavar="sha256:…", help="of the source; required for http://")
    command.add_argument("--steps", type=Path, metavar="FILE", help="a list of steps, YAML or JSON; [] for none")
    command.add_argument("--variant", metavar="NAME", help="whose steps to take from MANIFEST")
    command.add_argument("--calibration", metavar="URI_OR_PATH", help=f".npz of typical inputs: {place}")
    command.add_argument("--evaluation", metavar="URI_OR_PATH", help=f".npz of inputs and label: {place}")
    command.add_argument("--training", metavar="URI_OR_PATH", help=f".npz of inputs and label to train on: {place}")
    command.add_argument("--target", metavar="URI_OR_PATH", help=f".npz of inputs of the target domain: {place}")
    command.add_argument(
        "--checkpoints", type=Path, metavar="DIR", help="where training keeps how far it is, and goes on from"
    )
    command.add_argument("--teacher", metavar="URI_OR_PATH", help="a model to distill from, .onnx or .pt2")
    command.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="maxAccuracyDropPercent, minAccuracyPercent, maxSizeBytes, maxLatencyMilliseconds or whenInconclusive; "
        "may be repeated",
    )
    command.add_argument(
        "--task",
        choices=EVALUATION_TASKS,
        help="what the labels of the evaluation set mean; default: as in MANIFEST, or told from their shape",
    )
    command.add_argument(
        "--tolerance", metavar="NUMBER", help="task Regression: the largest error that is right, in the labels' unit"
    )
    command.add_argument(
        "--state",
        action="append",
        default=[],
        metavar="INPUT=OUTPUT",
        help="of a model with a state: the output that this input gets at the next step; samples are sequences then; "
        "may be repeated",
    )
    command.add_argument("--golden-items", type=int, default=64, metavar="N", help="default: %(default)s")
    command.add_argument("--name", help="of the model; default: from the manifest or the source's file name")
    command.add_argument("--output", type=Path, required=True, metavar="DIR", help="a folder to be made")
    command.add_argument("--overwrite", action="store_true", help="replace an artifact that is in DIR")
    command.add_argument(
        "--plain-http",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="a registry without TLS; may be repeated",
    )
    _add_config(command)


def _add_push(commands: Any) -> None:
    command = commands.add_parser(
        "push",
        help="put a model or a data set into a registry",
        description=f"Puts {PUSHED} into a registry as an OCI artifact, and prints "
        "the oci://…@sha256:… to write into an EdgeModel. Without a tag, one is made of the file's digest.",
    )
    command.set_defaults(command=push)
    command.add_argument("file", type=Path, metavar="FILE", help=PUSHED)
    command.add_argument("reference", metavar="oci://HOST/REPOSITORY[:TAG]", nargs="?")
    command.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    command.add_argument(
        "--namespace",
        metavar="NAME",
        help="instead of oci://…: the embedded registry of the cluster that kubectl speaks to, under this namespace",
    )
    command.add_argument("--name", help="with --namespace: of the repository; default: the file's name")
    command.add_argument("--release", default="edgemodel", help="Helm release of the chart; default: %(default)s")
    command.add_argument(
        "--release-namespace", default="edgemodel-system", help="where the chart is installed; default: %(default)s"
    )
    _add_config(command)


def _add_report(commands: Any) -> None:
    command = commands.add_parser(
        "report",
        help="print the report of an artifact",
        description="Prints report.md of an artifact: of a folder that compress has made, or of an image in a "
        "registry, such as oci://registry.example/vision/defects@sha256:… from the revision's status.",
    )
    command.set_defaults(command=report)
    command.add_argument("artifact", metavar="DIR_OR_URI", help="a folder, or oci://host/repository@sha256:…")
    command.add_argument("--html", type=Path, metavar="FILE", help="write the report with its pictures there instead")
    command.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    _add_config(command)


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config",
        type=Path,
        default=Path.home() / ".docker" / "config.json",
        metavar="FILE",
        help="credentials of registries; default: %(default)s",
    )


if __name__ == "__main__":
    sys.exit(main())
