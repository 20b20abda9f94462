"""The version of the project, which every program tells: the command line, the operator and the server.

Images have no metadata of packages, so it stands in the code. The chart and ``pyproject.toml`` have the same one.
"""

from typing import Final

VERSION: Final = "0.1.0"
