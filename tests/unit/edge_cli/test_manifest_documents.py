"""YAML and JSON, read as kubectl reads them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_cli.manifest.documents import MAX_BYTES, MAX_VALUES, read_documents, read_value, resolve_scalar
from edge_cli.verb import UsageError
from examples.lab import tools

SCALARS: dict[str, Any] = {
    "y": True, "Y": True, "yes": True, "on": True, "TRUE": True, "n": False, "N": False, "No": False, "off": False,
    "tRue": "tRue", "'yes'": "yes", '"off"': "off", "~": None, "null": None, "NULL": None, "nUll": "nUll", "''": "",
    "010": 8, "0o10": 8, "0O7": 7, "-0o7": -7, "0x1F": 31, "0X1f": 31, "-0x1": -1, "0x": "0x", "0b11": 3, "-0b11": -3,
    "0B1": 1, "+0b1": 1, "08": 8, "09.5": 9.5, "00": 0, "0_7": 7, "1_000": 1000, "1__0": 10, "1_": 1, "_1": "_1",
    "1_0.5": 10.5, "1e3": 1000, "1E+2": 100, "12e03": 12000, "0.1e-2": 0.001, "1e1_0": 1e10, "1.0": 1, "1.": 1,
    ".5": 0.5, "-.5": -0.5, "+.5": 0.5, "+5": 5, "-0": 0, "60:00": "60:00", "190:20:30": "190:20:30",
    "2001-01-01": "2001-01-01", "2001-12-14t21:59:43.10-05:00": "2001-12-14t21:59:43.10-05:00", "+": "+",
    "..": "..", "e5": "e5", "1e400": "1e400", "123456789012345678901234567890": 123456789012345678901234567890.0,
    "!!str 5": "5", "!!int '5'": 5, "!!float 5": 5, "!!bool yes": True, "!mine 3": "3", "=": "=",
    "{y: 3}": {"true": 3}, "{1.0: 1}": {"1": 1}, "{01: 1}": {"1": 1}, "{2001-01-01: 1}": {"2001-01-01": 1},
    "{1e3: 1}": {"1000": 1}, "!!timestamp 2001-01-01": "2001-01-01",
}  # fmt: skip
MERGED = """\
base: &base {a: 1, b: 2}
later: {<<: *base, b: 3}
earlier: {b: 3, <<: [*base, {b: 4, c: 4}]}
"""


def written(folder: Path, text: str | bytes, name: str = "m.yaml") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def told(file: Path) -> str:
    with pytest.raises(UsageError) as refusal:
        read_documents(file)
    return str(refusal.value)


def as_text(scalars: Any) -> str:
    return "".join(f"- {text}\n" for text in scalars)


def test_scalars_mean_what_they_mean_to_kubectl(tmp_path: Path) -> None:
    assert dict(zip(SCALARS, read_value(written(tmp_path, as_text(SCALARS))), strict=True)) == SCALARS


@pytest.mark.lab_programs
def test_the_table_and_merged_keys_are_those_of_the_real_kubectl(tmp_path: Path) -> None:
    indented = "".join(f"  {line}\n" for line in MERGED.splitlines())
    text = f"apiVersion: v1\nkind: Anything\nmetadata: {{name: a}}\nmerged:\n{indented}values:\n{as_text(SCALARS)}"
    file = written(tmp_path, text)
    command = [tools.bin_dir() / "kubectl", "label", "--local", "-f", file, "-o", "json", "key=value"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    by_kubectl = json.loads(done.stdout)
    assert by_kubectl["values"] == list(SCALARS.values())
    assert by_kubectl["merged"] == read_value(file)["merged"]


def test_merged_keys_take_effect_where_they_stand(tmp_path: Path) -> None:
    value = read_value(written(tmp_path, MERGED))
    assert value["later"] == {"a": 1, "b": 3}
    assert value["earlier"] == {"a": 1, "b": 2, "c": 4}


def test_the_items_of_a_list_of_edge_models_are_documents_too(tmp_path: Path) -> None:
    (one,) = read_documents(written(tmp_path, "kind: EdgeModelList\nitems:\n- {kind: EdgeModel}\n"))
    assert one.place == "item 1 of the EdgeModelList in document 1"


@pytest.mark.parametrize("text", ["18446744073709551616", "0777777777777777777777777", "-9223372036854775809"])
def test_a_whole_number_that_does_not_fit_is_a_float(text: str) -> None:
    assert isinstance(resolve_scalar(text), float)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, line_end: str) -> None:
    text = line_end.join(("---", "a: größe", "---", "# nothing", "---", "b: 1", "..."))
    assert [one.value for one in read_documents(written(tmp_path, text.encode(encoding)))] == [{"a": "größe"}, {"b": 1}]


def test_the_items_of_a_list_are_documents_of_their_own(tmp_path: Path) -> None:
    text = "kind: List\nitems:\n- {kind: A}\n- {kind: B}\n---\nkind: C\n"
    assert [(one.value["kind"], one.place) for one in read_documents(written(tmp_path, text))] == [
        ("A", "item 1 of the List in document 1"),
        ("B", "item 2 of the List in document 1"),
        ("C", "document 2"),
    ]


def test_json_may_hold_several_values(tmp_path: Path) -> None:
    file = written(tmp_path, '\n{"kind": "A"}\n{"kind": "B"}\n', "m.json")
    assert [one.value["kind"] for one in read_documents(file)] == ["A", "B"]


def test_yaml_may_begin_like_json(tmp_path: Path) -> None:
    assert read_value(written(tmp_path, "{a: yes, b: [1e3]}\n")) == {"a": True, "b": [1000]}


def test_json_needs_no_pyyaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert read_value(written(tmp_path, '{"a": "y"}')) == {"a": "y"}
    assert "pip install pyyaml" in told(written(tmp_path, "a: y\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "m.yaml, line 3: the key a stands in line 1 already"),
        ("y: 1\n'true': 3\n", "line 2: the key true stands in line 1 already"),
        ('{"a": {"b": 1, "b": 2}}', "the key b stands twice in one object"),
        ("a:\n\tb: 1\n", "line 2: neither JSON nor YAML"),
        ("a:\n\tb: 1\n", "YAML allows no tab"),
        ("a: [1\n", "neither JSON nor YAML"),
        ("a: .inf\n", "line 1: .inf is no number of JSON"),
        ("a: -.INF\n", "is no number of JSON"),
        ("a: .nan\n", "write it in quotes, if it is a text"),
        ("a: 'x" + "x" * MAX_BYTES, "more than 3145728 bytes"),
        ("? [a]\n: 1\n", "a key is a list or a mapping, want a text"),
        ("~: 1\n", "a key is null"),
        ("a: &a [*a]\n", "an anchor holds an alias of itself"),
        ("a: *b\n", "neither JSON nor YAML"),
        ("a: {<<: 3}\n", "'<<' merges a mapping"),
        ("a: !!int x\n", "'x' is no int, as its tag says"),
        ("a: !!bool 1\n", "'1' is no bool"),
        ("a: !!binary aGVsbG8=\n", "!!binary is not read"),
        ("a: 1\n--- {b: 1}\n", "line 2: kubectl refuses text behind '---'"),
        (b"a: \xff\n", "byte 3 is not UTF-8"),
        (b"\xff\xfea\x00\x00", "is not UTF-16"),
        (b"a: \x00\n", "neither JSON nor YAML"),
        ("a: {{ .Values.name }}\n", "is it a template of Helm? Render it first: helm template"),
        ("[" * 600 + "]" * 600, "nested too deeply"),
        ("a: " + "[" * 600 + "]" * 600, "nested too deeply"),
    ],
)
def test_unreadable_input_is_reported_with_its_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message in told(written(tmp_path, text))


def test_a_few_aliases_cannot_stand_for_billions_of_values(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert f"more than {MAX_VALUES} values" in told(written(tmp_path, "\n".join(lines)))


def test_a_file_for_one_value_holds_no_second_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds 2 documents, want one"):
        read_value(written(tmp_path, "a: 1\n---\nb: 1\n"))
    assert read_value(written(tmp_path, "# nothing\n")) is None


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in told(tmp_path / "gone.yaml")
    assert "cannot be read" in told(tmp_path)
