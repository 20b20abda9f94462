"""``edgemodel compress``: compresses a model into a folder, as the Job in the cluster would."""

import argparse
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from edge_cli.manifest import (
    check_budget,
    check_steps,
    choose_edge_model,
    complete_edge_model,
    read_documents,
    read_value,
)
from edge_cli.report import REPORTS
from edge_cli.verb import UsageError, Verb, add_credentials_option
from edgemodel import reasons
from edgemodel.artifact import ArtifactManifest
from edgemodel.budget import Budget, parse_budget
from edgemodel.compression_request import (
    AUTO,
    BY_CONTENT,
    DATASETS,
    ONNX,
    CompressionRequest,
    EvaluationSettings,
    Recipe,
    Source,
    complete_steps,
    format_of,
)
from edgemodel.compressor_facts import EVALUATION_TASKS, SOURCE_FORMATS
from edgemodel.converter import MODEL_FILES, MODEL_VARIABLE, WEIGHTS_FILE, WEIGHTS_VARIABLE, Converter
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled
from edgemodel.names import DEFAULT_VARIANT, GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, REPORT_FILE
from edgemodel.spec import parse_spec

MAX_NAMED: Final = 5
"""The largest number of files in a message."""

EXAMPLES = """\
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


def run(options: argparse.Namespace) -> int:
    """Compresses one variant into a folder. If the budget is missed, only the reports are left there."""
    from edge_compressor import pipeline  # numpy and onnxruntime take a second to import, which --help does not need
    from edge_compressor.checkpoints.store import CheckpointFolder
    from edge_compressor.progress import Progress
    from edge_compressor.registries.access import RegistryAccess
    from edge_compressor.sources.fetcher import Fetcher

    request, name, variant = read_request(options)
    output: Path = options.output
    _check_output(output, overwrite=options.overwrite)
    progress = Progress(sys.stderr)
    access = RegistryAccess(docker_config=options.config, plain_http_hosts=tuple(options.plain_http))
    fetcher = Fetcher(access, progress, local_paths=True)
    checkpoints = CheckpointFolder(options.checkpoints) if options.checkpoints else None
    with tempfile.TemporaryDirectory(prefix="edgemodel-") as scratch:
        work = Path(scratch) / "work"
        (result,) = pipeline.run(request, name, fetcher, work, progress, checkpoints=checkpoints, variant=variant)
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
    print(f"{output / result.manifest.model_file}  {result.manifest.artifact_digest}")
    return 0


def read_request(options: argparse.Namespace) -> tuple[CompressionRequest, str, str]:
    """Returns the request that the command line and its manifest describe, the model's name, and the variant to make.

    The request of a manifest has the recipes of all its variants, so that its fingerprint is that of the cluster.
    Raises UsageError.
    """
    variant = options.variant or DEFAULT_VARIANT
    manifest = _manifest(options) if options.file else None
    given = parse_spec(manifest["spec"]).request if manifest is not None else None
    if options.source:
        states = given.source.stateful_inputs if given else {}
        source = Source(
            options.source,
            options.digest,
            options.format or format_of(options.source) or BY_CONTENT,
            stateful_inputs=states,
        )
    elif given is not None:
        source = given.source
    else:
        raise UsageError("name a model: --source, or a manifest with -f")
    if not options.source and (alone := [f"--{name}" for name in ("digest", "format") if getattr(options, name)]):
        raise UsageError(f"{' and '.join(alone)} belongs to --source, and the source of the manifest has its own")
    if source.format in SOURCE_FORMATS and not SOURCE_FORMATS[source.format].is_model:
        raise UsageError(_by_hand(source.uri, given.source.converter if given else None))
    if options.steps:
        listed = check_steps(read_value(options.steps), str(options.steps))
        recipes, limits = (Recipe(variant, complete_steps(listed["steps"])),), listed.get("budget", {})
        base = replace(given or CompressionRequest(source), recipes=recipes, budget=Budget())
    elif given is not None:
        _check_variant(given, variant)
        limits, base = {}, given
    else:
        raise UsageError("name the steps: --steps, or a manifest with -f")
    if options.golden_items < 0:
        raise UsageError(f"--golden-items is {options.golden_items}, want a whole number, at least 0")
    name = options.name or (manifest or {}).get("metadata", {}).get("name") or Path(source.uri).stem or "model"
    evaluation = base.evaluation
    request = replace(
        base,
        source=replace(source, stateful_inputs=_states(options.stateful_input) or source.stateful_inputs),
        datasets=base.datasets | {use: Source(path) for use in DATASETS if (path := getattr(options, use))},
        teacher=Source(options.teacher, format=_format(options.teacher)) if options.teacher else base.teacher,
        budget=_with_limits(base.budget, limits | _budget(options.budget)),
        evaluation=EvaluationSettings(
            options.task or evaluation.task, evaluation.settings | _settings_of_tasks(options)
        ),
        golden_items=options.golden_items,
    )
    return request, name, variant


def _option(setting: str) -> str:
    """Returns the option of a setting: ``--max-gap`` for ``maxGap``."""
    return "--" + re.sub("[A-Z]", lambda found: f"-{found[0].lower()}", setting)


def _settings_of_tasks(options: argparse.Namespace) -> dict[str, str]:
    """Returns the settings of evaluation tasks that are given as options."""
    names = [name for settings in EVALUATION_TASKS.values() for name in settings]
    given = {name: getattr(options, _option(name)[2:].replace("-", "_")) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def _with_limits(budget: Budget, limits: dict[str, Any]) -> Budget:
    """Returns ``budget`` with ``limits``, as a manifest has them, in place of its own. Raises Stalled(InvalidSpec)."""
    try:
        return parse_budget(budget.to_json() | limits)
    except ValueError as error:
        raise Stalled(reasons.INVALID_SPEC, in_words(error)) from error


def _states(given: Sequence[str]) -> dict[str, str]:
    """Returns state input -> output that feeds it, from the values of ``--stateful-input``. Raises UsageError."""
    pairs = [text.partition("=") for text in given]
    if wrong := [text for text, (taken, _, output) in zip(given, pairs, strict=True) if not (taken and output)]:
        raise UsageError(f"--stateful-input {wrong[0]}: want INPUT=OUTPUT, two names of the model's tensors")
    _refuse_twice("--stateful-input", [taken for taken, _, _ in pairs])
    return {taken: output for taken, _, output in pairs}


def _manifest(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the EdgeModel of the manifest as the API server would store it. Raises UsageError."""
    found, others = choose_edge_model(read_documents(options.file), options.file, options.name)
    manifest = complete_edge_model(found, str(options.file))
    if others:
        name = manifest["metadata"]["name"]
        print(f"edgemodel: {options.file}: only EdgeModel {name} is read, not {', '.join(others)}", file=sys.stderr)
    return manifest


def _check_variant(request: CompressionRequest, variant: str) -> None:
    """Raises UsageError if the manifest has no such variant."""
    names = [recipe.variant for recipe in request.recipes]
    if variant not in names:
        raise UsageError(f"the manifest has no variant {variant!r}, it has {', '.join(names)}")


def _format(uri: str) -> str:
    return format_of(uri) or ONNX


def _by_hand(uri: str, converter: Converter | None) -> str:
    """Returns the message for a source of weights, which says how to run its converter by hand: no command runs it
    here."""
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
    """Returns the limits of ``--budget KEY=VALUE`` as a manifest has them. Raises UsageError."""
    pairs = [entry.partition("=") for entry in entries]
    if wrong := [entry for entry, (_, equals, _) in zip(entries, pairs, strict=True) if not equals]:
        raise UsageError(f"--budget {wrong[0]}: want KEY=VALUE, e.g. maxAccuracyDropPercent=1.0")
    _refuse_twice("--budget", [key for key, _, _ in pairs])
    return check_budget({key: value for key, _, value in pairs})


def _refuse_twice(option: str, keys: Sequence[str]) -> None:
    if twice := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]:
        raise UsageError(f"{option} is given twice for {', '.join(twice)}")


def _check_output(output: Path, *, overwrite: bool) -> None:
    """Raises UsageError if the folder holds anything but the output of an earlier run."""
    if not output.exists():
        return
    if not output.is_dir():
        raise UsageError(f"{output} is not a folder")
    names = {file.name for file in output.iterdir()}
    if names and not overwrite:
        raise UsageError(f"{output} is not empty: name another folder, or --overwrite")
    if names and not names & {MANIFEST_FILE, *REPORTS}:
        raise UsageError(f"{output} holds no artifact, so it is not overwritten")
    if others := sorted(names - {MANIFEST_FILE, GOLDEN_FILE, *REPORTS} - _model_files(output)):
        more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
        what = ", ".join(others[:MAX_NAMED])
        raise UsageError(f"{output} holds more than an artifact, so it is not overwritten: move {what}{more} elsewhere")


def _model_files(folder: Path) -> set[str]:
    """Returns what the artifact in a folder has there besides manifest and reports; without a readable manifest, the
    usual model file."""
    try:
        manifest = ArtifactManifest.decode((folder / MANIFEST_FILE).read_bytes())
    except (OSError, ValueError):
        return {MODEL_FILE}
    return {manifest.model_file, *(PurePosixPath(name).parts[0] for name in manifest.files)}


def _add_options(command: argparse.ArgumentParser) -> None:
    place = "a file, or oci://, https://"
    command.add_argument("-f", "--file", type=Path, metavar="MANIFEST", help="an EdgeModel, YAML or JSON; flags win")
    command.add_argument("--source", metavar="URI_OR_PATH", help=f"the model: {place}, http:// with --digest")
    command.add_argument(
        "--format",
        metavar="NAME",
        help=f"the format of the source: {', '.join(SOURCE_FORMATS)}; default: by the ending of its name, or "
        "by its content",
    )
    command.add_argument("--digest", metavar="sha256:…", help="the digest of the source; required for http://")
    command.add_argument("--steps", type=Path, metavar="FILE", help="a list of steps, YAML or JSON; [] for no step")
    command.add_argument("--variant", metavar="NAME", help="the variant of MANIFEST whose steps to apply")
    command.add_argument("--calibration", metavar="URI_OR_PATH", help=f".npz of typical inputs: {place}")
    command.add_argument(
        "--evaluation", metavar="URI_OR_PATH", help=f".npz of inputs and labels, or .jsonl of texts: {place}"
    )
    command.add_argument("--training", metavar="URI_OR_PATH", help=f".npz of inputs and labels to train on: {place}")
    command.add_argument(
        "--unlabeled", metavar="URI_OR_PATH", help=f".npz of inputs of the target domain, without labels: {place}"
    )
    command.add_argument(
        "--checkpoints",
        type=Path,
        metavar="DIR",
        help="a folder for checkpoints of training, which resumes from the newest one there",
    )
    command.add_argument("--teacher", metavar="URI_OR_PATH", help="a model to distill from, .onnx or .pt2")
    command.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="maxAccuracyDropPercent, minAccuracyPercent, maxRelativeErrorPercent, maxPerplexityIncreasePercent, "
        "minAgreementPercent, maxSizeBytes, maxLatencyMilliseconds, or onInconclusive with Stall or Proceed; may be "
        "repeated",
    )
    command.add_argument(
        "--task",
        choices=(AUTO, *EVALUATION_TASKS),
        help="the meaning of the labels; default: as in MANIFEST, or inferred from labels and outputs",
    )
    for task, settings in EVALUATION_TASKS.items():
        for name, doc in settings.items():
            command.add_argument(_option(name), metavar="VALUE", help=f"for task {task}: {doc}".replace("%", "%%"))
    command.add_argument(
        "--stateful-input",
        action="append",
        default=[],
        metavar="INPUT=OUTPUT",
        help="for a stateful model: feed OUTPUT of each step to INPUT of the next; samples are then sequences; "
        "may be repeated",
    )
    command.add_argument(
        "--golden-items",
        type=int,
        default=64,
        metavar="N",
        help="items of the golden set, 0 for none; default: %(default)s",
    )
    command.add_argument(
        "--name",
        help="the model's name; of several EdgeModels in MANIFEST, the one to take; default: from MANIFEST or the "
        "source's file name",
    )
    command.add_argument("--output", type=Path, required=True, metavar="DIR", help="the folder to create")
    command.add_argument("--overwrite", action="store_true", help="replace the artifact in DIR")
    command.add_argument(
        "--plain-http",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="use HTTP without TLS for this registry; may be repeated",
    )
    add_credentials_option(command)


VERB: Final = Verb(
    name="compress",
    summary="compress a model into a folder, as the Job in the cluster would",
    description="Compresses a model into a folder, as the Job in the cluster would. The folder then holds model.onnx, "
    "manifest.json, report.md, report.html and golden.npz. If the budget is missed, the exit code is 3 and the folder "
    "holds the reports alone.",
    add_options=_add_options,
    run=run,
    examples=EXAMPLES,
)
