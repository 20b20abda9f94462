"""The error of passes."""


class OutOfOrder(Exception):
    """A model that cannot be put in order; the text names the cause and the cure."""


def counted(number: int, one: str, many: str = "") -> str:
    """Returns ``number`` with its noun, such as ``1 weight`` and ``2 weights``."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
