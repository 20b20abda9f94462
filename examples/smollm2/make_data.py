#!/usr/bin/env python3
"""Writes evaluation.npz for SmolLM2: prose of this project's documentation as tokens, in windows of 256.

The texts are their own labels: each token is predicted from those before it.
"""

import argparse
import re
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs"
WINDOW = 256
_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_MARKS = re.compile(r"\]\([^)]*\)|[`*\[\]]|<!--.*?-->", re.DOTALL)


def prose() -> str:
    """Returns the paragraphs of the pages without code, tables, headings and marks."""
    found = []
    for page in sorted(DOCS.glob("*/*.md")):
        if page.parent.name == "reference":  # it repeats itself
            continue
        for paragraph in _FENCED.sub("", page.read_text()).split("\n\n"):
            if paragraph and paragraph[0] not in " |#-!<1":
                found.append(" ".join(_MARKS.sub("", paragraph).split()))
    return "\n".join(found)


def main() -> None:
    """Writes the data set of the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder that fetch.py has written")
    parser.add_argument("--output", type=Path, default=HERE / "evaluation.npz", help="file to write (%(default)s)")
    parser.add_argument("--windows", type=int, default=12, help="number of texts (%(default)s)")
    options = parser.parse_args()
    tokens = Tokenizer.from_file(str(options.folder / "tokenizer.json")).encode(prose()).ids
    windows = np.array(tokens[: options.windows * WINDOW], np.int32).reshape(-1, WINDOW)
    np.savez_compressed(options.output, input_ids=windows)
    print(f"{options.output}: {windows.size} of {len(tokens)} tokens")


if __name__ == "__main__":
    main()
