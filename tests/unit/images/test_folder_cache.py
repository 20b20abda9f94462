"""A folder is in a cache completely, or not at all, whoever else makes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from charts.images.folder_cache import cached_folder, key_of

ROOT = Path(__file__).resolve().parents[3]
BUILDER = """
import sys
from pathlib import Path
from charts.images.folder_cache import cached_folder

def make(folder):
    (folder / "half").write_text(sys.argv[2])
    print("making", flush=True)
    sys.stdin.readline()
    (folder / "whole").write_text(sys.argv[2])

print((cached_folder(Path(sys.argv[1]), make) / "whole").read_text(), flush=True)
"""


def builder(home: Path, name: str) -> subprocess.Popen[str]:
    """Starts a process that makes the folder and returns it in the midst of that; a line lets it go on."""
    command = [sys.executable, "-c", BUILDER, str(home), name]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "making\n"
    return process


def test_of_two_processes_the_first_wins_and_both_return_the_same_folder(tmp_path: Path) -> None:
    home = tmp_path / "cache/key"
    with builder(home, "first") as first, builder(home, "second") as second:
        assert not home.exists()
        assert first.communicate("\n") == ("first\n", None)
        assert second.communicate("\n") == ("first\n", None)
    assert first.returncode == second.returncode == 0
    assert {path.name: path.read_text() for path in home.iterdir()} == {"half": "first", "whole": "first"}
    assert list(home.parent.iterdir()) == [home]


def test_a_killed_process_leaves_nothing_that_looks_complete(tmp_path: Path) -> None:
    home = tmp_path / "key"
    with builder(home, "killed") as process:
        process.kill()
    assert not home.exists()
    with builder(home, "next") as process:
        assert process.communicate("\n") == ("next\n", None)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
def test_an_interrupted_maker_leaves_nothing(tmp_path: Path, interruption: type[BaseException]) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("")
        raise interruption

    with pytest.raises(interruption):
        cached_folder(tmp_path / "key", make)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_moved_to_its_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a file")
    with pytest.raises(OSError, match="key"):
        cached_folder(tmp_path / "key", lambda _: None)


def test_everybody_may_read_the_folder(tmp_path: Path) -> None:
    assert cached_folder(tmp_path / "key", lambda _: None).stat().st_mode & 0o777 == 0o755


def test_a_key_distinguishes_inputs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("b")
    assert key_of(["a", tmp_path / "file"]) == key_of(["a", b"b"])
    assert len({key_of(inputs) for inputs in (["a", "b"], ["b", "a"], ["ab"], ["ab", ""], [])}) == 5
