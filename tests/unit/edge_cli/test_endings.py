"""The end of a command: an exception becomes one line and a documented exit code."""

import errno
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_cli import endings
from edge_cli.endings import ending_of
from edge_cli.verb import UsageError
from edgemodel.errors import Stalled, Transient
from edgemodel.kubectl import KubectlFailure
from edgemodel.user_files import UnreadableFile
from tests.support.speaking import assert_speaks_to_a_user

TABLE = Path(__file__).resolve().parents[3] / "docs" / "exit-codes.md"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Stalled("SourceInvalid", "it is cut"), 3, "edgemodel: SourceInvalid: it is cut\n"),
        (Transient("SourceUnreachable", "no answer"), 4, "edgemodel: SourceUnreachable: no answer\n"),
        (UsageError("name a model"), 2, "edgemodel: name a model\n"),
        (UnreadableFile("x cannot be read"), 2, "edgemodel: x cannot be read\n"),
        (KubectlFailure("kubectl is not on PATH"), 3, "edgemodel: kubectl is not on PATH\n"),
        (KubectlFailure("no answer", heals=True), 4, "edgemodel: no answer\n"),
        (OSError(errno.ENOSPC, "No space left", "/a"), 3, "edgemodel: /a: no space is left on the disk\n"),
        (MemoryError(), 3, "edgemodel: there is not enough memory for that\n"),
        (KeyboardInterrupt(), 130, "edgemodel: interrupted\n"),
    ],
)
def test_an_exception_becomes_a_line_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending_of(_raising(error)) == code
    assert capsys.readouterr().err == said


def test_a_failure_of_kubectl_has_a_code_of_its_own_where_nothing_else_can_fail() -> None:
    assert ending_of(_raising(KubectlFailure("no answer", heals=True)), of_kubectl=endings.KUBECTL_FAILED) == 1


def test_a_defect_is_told_as_one_and_its_details_are_kept_for_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending_of(_raising(RuntimeError("unforeseen"))) == endings.DEFECT
    said = capsys.readouterr().err
    assert_speaks_to_a_user(said)
    details = Path(re.search(r"(/\S+edgemodel-defect-\S+\.txt)", said)[1])  # type: ignore[index]
    assert "RuntimeError: unforeseen" in details.read_text()
    details.unlink()


def test_the_exit_code_of_a_verb_that_ends_by_itself_stays() -> None:
    assert [ending_of(lambda code=code: code) for code in (0, 3)] == [0, 3]  # type: ignore[misc]


def test_every_exit_code_is_documented() -> None:
    documented = set(map(int, re.findall(r"^\| (\d+) \|", TABLE.read_text(), re.MULTILINE)))
    codes = {value for name, value in vars(endings).items() if name.isupper() and isinstance(value, int)}
    assert codes | {0, Stalled.exit_code, Transient.exit_code} == documented


def _raising(error: BaseException) -> Callable[[], int]:
    def run() -> int:
        raise error

    return run
