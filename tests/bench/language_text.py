"""Prose that no step has seen: Debian's handbook, as tokens."""

import hashlib
import html
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
from tokenizers import Tokenizer

from tests.bench.prerequisites import DebianPackage

FOLDER: Final = Path("/usr/share/doc/debian-handbook/html/en-US")
PREREQUISITE: Final = DebianPackage("debian-handbook", str(FOLDER / "index.html"), "prose to judge a language model by")
DIGEST: Final = "dab4de34a27f5cc92806548294e40deb422a550a0f55e9b36dabc68872452260"
"""The sha256 of the paragraphs of version 11.20220922."""
MIN_CHARACTERS: Final = 200
"""The length from which a paragraph counts as prose."""


def paragraphs() -> list[str]:
    """Returns the paragraphs. Raises SystemExit if they are those of another version."""
    found = []
    for page in sorted(FOLDER.glob("*.html")):
        for paragraph in re.findall(r'<div class="para">(.*?)</div>', page.read_text(errors="replace"), re.DOTALL):
            text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", paragraph))).strip()
            if len(text) >= MIN_CHARACTERS:
                found.append(text)
    digest = hashlib.sha256("\n\n".join(found).encode()).hexdigest()
    if digest != DIGEST:
        raise SystemExit(
            f"{FOLDER} holds another text than the figures are of (sha256 {digest}, want {DIGEST}): install "
            "debian-handbook 11.20220922"
        )
    return found


def windows(tokenizer: Path, count: int, tokens: int) -> Any:
    """Returns ``count`` texts of ``tokens`` tokens, int64, spread evenly over the handbook."""
    ids = np.array(Tokenizer.from_file(str(tokenizer)).encode("\n\n".join(paragraphs())).ids)
    step = (len(ids) - tokens) // max(1, count - 1)
    if step < tokens:
        raise SystemExit(f"the handbook has {len(ids)} tokens, want {count} texts of {tokens}")
    return np.stack([ids[number * step : number * step + tokens] for number in range(count)])
