"""The glossary binds each word to code that exists."""

from pathlib import Path

from tests.unit.test_architecture import problems

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "glossary.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("|")][2:]


def test_every_word_has_a_meaning_and_a_place_in_the_code() -> None:
    assert len(ROWS) > 20
    for row in ROWS:
        word, meaning, code, _avoided = row
        assert word
        assert meaning.endswith("."), f"{word}: the meaning is no sentence"
        assert code.startswith("`"), f"{word}: nothing in the code is named"


def test_what_it_names_in_the_code_is_there() -> None:
    assert problems(TEXT) == []


def test_each_word_is_there_once_in_order_and_is_avoided_by_none() -> None:
    words = [row[0].lower() for row in ROWS]
    assert words == sorted(set(words))
    avoided = {term.strip() for row in ROWS for term in row[3].split(",")}
    assert not avoided & set(words)
