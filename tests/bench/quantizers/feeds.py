"""The calibration feeds, in the same form for every quantizer."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

Feed = dict[str, Any]


def read(path: str | Path) -> list[Feed]:
    """Returns the inputs of each run, from an npz file with names such as ``0/x``."""
    feeds: defaultdict[str, Feed] = defaultdict(dict)
    with np.load(path) as arrays:
        for key in arrays.files:
            number, _, name = key.partition("/")
            feeds[number][name] = arrays[key]
    return [feeds[number] for number in sorted(feeds)]
