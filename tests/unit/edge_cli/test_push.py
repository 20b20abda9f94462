"""The command ``edgemodel push``: it pushes files into a registry, or says why it does not."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from edge_oci.artifacts import files_of
from edge_oci.client import Registries
from edge_oci.manifests import get_manifest
from edge_oci.references import parse_reference
from edgemodel.digest import digest_of_file
from tests.support import weights
from tests.support.registry import RegistryProgram
from tests.unit.edge_cli.commands import run
from tests.unit.edge_compressor.conftest import Files


def test_a_push_prints_the_uri_to_write_into_the_manifest(
    residual: Files, registry: RegistryProgram, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("push", residual.model, f"oci://{registry.host}/desk/model:v1", "--plain-http") == 0
    uri = capsys.readouterr().out.strip()
    assert uri.startswith(f"oci://{registry.host}/desk/model@sha256:")
    (tmp_path / "steps.json").write_text("[]")
    order = ("compress", "--source", uri, "--steps", tmp_path / "steps.json", "--output", tmp_path / "out")
    assert run(*order, "--plain-http", registry.host) == 0
    assert (tmp_path / "out" / "model.onnx").read_bytes() == residual.model.read_bytes()


def test_weights_are_pushed_with_their_own_artifact_type(tmp_path: Path, registry: RegistryProgram) -> None:
    file = weights.write(tmp_path / "m.safetensors", w=np.ones(3, np.float32))
    assert run("push", file, f"oci://{registry.host}/desk/weights:v1", "--plain-http") == 0
    registries = Registries(plain_http_hosts=(registry.host,))
    reference = parse_reference(f"{registry.host}/desk/weights:v1")
    manifest = get_manifest(registries.repository(reference), "v1").content
    assert manifest["artifactType"] == "application/vnd.edgemodel.weights.v1"


def test_without_a_tag_a_data_set_gets_one_from_its_digest(residual: Files, registry: RegistryProgram) -> None:
    assert run("push", residual.evaluation, f"oci://{registry.host}/desk/set", "--plain-http") == 0
    tag = digest_of_file(residual.evaluation)[7:19]
    reference = parse_reference(f"{registry.host}/desk/set:{tag}")
    files = files_of(Registries(plain_http_hosts=(registry.host,)).repository(reference), tag)
    assert files["evaluation.npz"].digest == digest_of_file(residual.evaluation)


def test_credentials_of_docker_open_a_locked_registry(
    residual: Files, locked_registry: RegistryProgram, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = locked_registry.host
    order = (
        "push",
        residual.model,
        f"oci://{host}/desk/model:v1",
        "--plain-http",
        "--config",
        tmp_path / "config.json",
    )
    assert run(*order) == 3
    assert "ArtifactRejected" in capsys.readouterr().err
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": "YW5uOnNlY3JldA=="}}}))
    assert run(*order) == 0


def test_a_registry_that_is_down_ends_with_the_exit_code_for_retries(
    residual: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_oci.transport.Patience.pause", lambda self, failures: None)
    assert run("push", residual.model, "oci://127.0.0.1:1/desk/model", "--plain-http") == 4


def test_a_file_that_the_job_could_not_read_is_not_pushed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(name: str, code: int) -> str:
        assert run("push", tmp_path / name, "oci://registry.example/a:b") == code
        return capsys.readouterr().err

    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "bad.onnx").write_text("hello")
    (tmp_path / "bad.npz").write_text("hello")
    (tmp_path / "bad.jsonl").write_text('{"text": "hello"}\n{"words": "hello"}\n')
    (tmp_path / "bad.safetensors").write_text("hello")
    (tmp_path / "whole.pt").write_text("hello")
    assert "want a model (.onnx, .pt2, or a folder), weights (.safetensors) or a data set (.npz, .jsonl)" in refused(
        "notes.txt", 2
    )
    assert "SourceInvalid" in refused("bad.onnx", 3)
    assert "it is not a safetensors file" in refused("bad.safetensors", 3)
    assert "a pickle can run any code when it is loaded" in refused("whole.pt", 2)
    assert "DatasetInvalid" in refused("bad.npz", 3)
    assert "line 2 has no member text" in refused("bad.jsonl", 3)
    assert "there is no file" in refused("gone.onnx", 2)


@pytest.mark.parametrize(
    "reference", ["registry.example/a:b", "oci://model", f"oci://registry.example/a@sha256:{'0' * 64}"]
)
def test_a_reference_that_cannot_be_pushed_to_is_wrong_usage(residual: Files, reference: str) -> None:
    assert run("push", residual.model, reference) == 2


def test_pushing_to_a_cluster_without_kubectl_reports_that_it_is_missing(
    residual: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run("push", residual.model, "--namespace", "vision") == 3
    assert "kubectl is not on PATH" in capsys.readouterr().err


def test_a_failure_of_kubectl_is_shown_with_its_own_message(
    residual: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho 'error: the plug-in gave up' >&2\nexit 1\n")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert run("push", residual.model, "--namespace", "vision") == 3
    assert "error: the plug-in gave up" in capsys.readouterr().err


@pytest.mark.parametrize("more", [(), ("oci://registry.example/a:b", "--namespace", "vision")])
def test_a_push_goes_either_to_a_registry_or_to_a_cluster(residual: Files, more: tuple[str, ...]) -> None:
    assert run("push", residual.model, *more) == 2
