"""The names of special tokens in the messages of clients."""

import pytest

from inference_server.errors import InvalidRequest
from inference_server.generate.control_names import ControlNames

NAMES = ControlNames(["<s>", "<|end|>", "<|end|>x", ""])


def test_messages_without_a_name_stay_as_they_are() -> None:
    messages = [{"role": "user", "content": "<end>"}]
    assert NAMES.split(messages) == (messages, None)
    assert ControlNames([]).split(messages) == (messages, None)


def test_no_part_of_a_message_has_a_name() -> None:
    given = "a<s><|end|><|end|>x<|end|<s>|end|>"
    (message,), mark = NAMES.split([{"role": "<s>", "content": given, "tool": None}])
    assert mark is not None
    for value, whole in ((message["role"], "<s>"), (message["content"], given)):
        assert value.replace(mark, "") == whole
        assert not any(name in part for part in value.split(mark) for name in ("<s>", "<|end|>"))


def test_a_mark_is_no_character_of_the_messages() -> None:
    marks = "".join(map(chr, range(0xFDD0, 0xFDEF)))
    (message,), mark = NAMES.split([{"content": f"{marks}<s>"}])
    assert mark == "\ufdef"
    assert message["content"] == f"{marks}<\ufdefs>"
    with pytest.raises(InvalidRequest, match="noncharacters"):
        NAMES.split([{"content": f"{marks}\ufdef<s>"}])
