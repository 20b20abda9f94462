"""The error of passes."""


class OutOfOrder(Exception):
    """The model cannot be normalized; the text names the cause and the remedy."""


def counted(number: int, one: str, many: str = "") -> str:
    """Returns ``number`` with its noun, such as ``1 weight`` and ``2 weights``."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
