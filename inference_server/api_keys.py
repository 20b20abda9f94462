"""The keys of which every client has to show one, from a file that may change."""

import logging
import os
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

from edgemodel.error_words import in_words
from edgemodel.user_files import UnreadableFile, read_bytes
from inference_server.errors import KeyRefused

_SCHEME = b"bearer "
_log = logging.getLogger(__name__)


class ApiKeys:
    """The keys of one file: one a line, so that an old and a new one are both right while clients change."""

    def __init__(self, path: Path) -> None:
        """Raises UnreadableFile, also for a file without a key."""
        self._path = path
        self._stamp = self._look()
        self._digests = self._read()
        if not self._digests:
            raise UnreadableFile(f"{path} has no key: write one a line")

    def check(self, authorization: bytes) -> None:
        """Raises KeyRefused unless ``authorization``, a header's value, is ``Bearer`` and one of the keys.

        The time that it takes does not depend on how much of a key is right.
        """
        self._take_up_change()
        shown = sha256(authorization[len(_SCHEME) :].strip()).digest()
        known = False
        for digest in self._digests:
            known |= compare_digest(digest, shown)
        if not known or authorization[: len(_SCHEME)].lower() != _SCHEME:
            said = "the key is wrong" if authorization else "no key is shown"
            raise KeyRefused(f"{said}: send the header Authorization: Bearer KEY")

    def _take_up_change(self) -> None:
        """Reads the file anew if it is another one; while it cannot be read, the keys stay as they are."""
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self._digests, self._stamp = self._read(), stamp
        except (OSError, UnreadableFile) as error:
            if self._stamp is not None:
                _log.error("the file of API keys cannot be read, its last keys stay: %s", in_words(error))
            self._stamp = None

    def _look(self) -> tuple[int, ...] | None:
        """Returns what differs if the file was replaced or written. Raises UnreadableFile."""
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise UnreadableFile(f"{self._path} cannot be read: {in_words(error)}") from error
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self) -> list[bytes]:
        lines = read_bytes(self._path).splitlines()
        return [sha256(line.strip()).digest() for line in lines if line.strip()]
