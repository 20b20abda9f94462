"""The names of kinds in the paths of the API server."""


def plural(kind: str) -> str:
    """Returns the plural of ``kind`` in lower case; the kinds that the operator reads or writes are all regular."""
    lower = kind.lower()
    return f"{lower.removesuffix('y')}ies" if lower.endswith("y") else f"{lower}s"
