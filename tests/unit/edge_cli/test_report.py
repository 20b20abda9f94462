"""The command ``edgemodel report``, which prints the report of an artifact."""

from pathlib import Path

import pytest

from tests.support.registry import RegistryProgram
from tests.unit.edge_cli.commands import run
from tests.unit.edge_compressor.conftest import Files


def test_the_report_of_a_folder_is_printed_and_its_page_written(
    residual: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "steps.json").write_text("[]")
    order = ("compress", "--source", residual.model, "--steps", tmp_path / "steps.json", "--output", tmp_path / "out")
    assert run(*order) == 0
    capsys.readouterr()
    assert run("report", tmp_path / "out") == 0
    assert capsys.readouterr().out.startswith("# residual, variant default\n")
    assert run("report", tmp_path / "out", "--html", tmp_path / "page.html") == 0
    assert (tmp_path / "page.html").read_bytes() == (tmp_path / "out" / "report.html").read_bytes()


@pytest.mark.parametrize("artifact", ["gone", "oci://no host/a"])
def test_a_folder_or_image_that_is_not_an_artifact_has_no_report(
    artifact: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("report", artifact) == 2
    assert artifact.removeprefix("oci://") in capsys.readouterr().err


def test_a_data_set_in_a_registry_has_no_report(
    residual: Files, registry: RegistryProgram, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("push", residual.evaluation, f"oci://{registry.host}/desk/set:v1", "--plain-http") == 0
    assert run("report", f"oci://{registry.host}/desk/set:v1", "--plain-http") == 3
    assert "is not an image of a compressed model" in capsys.readouterr().err
