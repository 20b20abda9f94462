"""Reports each step to the operator when it begins. A failure has no effect but one message per step."""

from pathlib import Path
from typing import Final

import urllib3

from edgemodel.error_words import in_words
from edgemodel.progress import StepBegun
from edgemodel.user_files import UnreadableFile, read_text

PATIENCE: Final = urllib3.Timeout(connect=2, read=3)
"""The timeout in seconds. The operator answers within milliseconds, or not at all."""


def report_progress(url: str, token_file: Path, step: StepBegun) -> str:
    """Posts ``step`` to ``url`` and returns what went wrong; empty if nothing did."""
    try:
        headers = {"Authorization": f"Bearer {read_text(token_file).strip()}", "Content-Type": "application/json"}
        with urllib3.PoolManager(timeout=PATIENCE, retries=False) as pool:
            answer = pool.request("POST", url, body=step.encode(), headers=headers)
    except (UnreadableFile, OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        return in_words(error)
    return "" if answer.status < 300 else f"HTTP {answer.status}: {answer.data[:200].decode(errors='replace').strip()}"
