"""Checkpoints in the registry that a Job pushes to, by which the next attempt continues after its pod was evicted.

Each is an artifact under a tag that names its content, so that no checkpoint takes the tag of another: a manifest
without a tag would be in no list, and never be deleted. The operator deletes them all an hour after the model's last
Job has ended (``edge_operator/registry_gc.py``); in a registry of the user's own, the user does.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final

from edge_compressor.checkpoints.store import CheckpointFolder
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_oci.artifacts import pull_file, push_artifact
from edge_oci.client import Repository
from edge_oci.errors import OciError
from edge_oci.manifests import list_tags
from edge_oci.references import Reference
from edge_oci.transport import Patience
from edgemodel.digest import digest_of_file
from edgemodel.error_words import in_words
from edgemodel.job_input import PublishTarget
from edgemodel.names import CHECKPOINT_TYPE, checkpoint_epochs, checkpoint_tag

PUSH_SECONDS: Final = 60.0
PUSHING_SHARE: Final = 0.1
"""The largest share of the time that is spent on pushing, also if a registry takes long to refuse."""
SPREAD_BYTES: Final = 128 << 20
"""The size of a checkpoint that is pushed when the Job has run twice as long as at the last push; a smaller one is
pushed sooner.

A running registry frees nothing, and the embedded one has 5 GiB. This way the sum grows with the logarithm of the time:
to less than 1 GiB in ten hours for small checkpoints, and to a few times the size of a large one.
"""
MAX_TRIED: Final = 3
"""The number of checkpoints of a training that are tried, the most advanced first."""
PATIENCE: Final = Patience(tries=2)


class CheckpointRegistry:
    """Checkpoints in a folder, pushed now and then; if the folder has none, those of earlier attempts are fetched.

    An error of the registry is reported, and does not stop the training. As a context it pushes the latest checkpoint
    when it ends by an exception, such as an eviction or the deadline of the Job.
    """

    def __init__(
        self,
        folder: Path,
        target: PublishTarget,
        access: RegistryAccess,
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes a ``clock`` in seconds, which need not start at zero."""
        self._folder = CheckpointFolder(folder)
        self._where = Reference(target.registry, target.repository)
        self._access = replace(access, patience=access.patience or PATIENCE)
        self._progress, self._clock = progress, clock
        self._began = clock()
        self._unpushed: tuple[str, int] | None = None
        """The key and epochs of a checkpoint in the folder that the registry lacks; None if there is none."""
        self._next = self._began
        self._is_away = False
        """True if the registry did not answer the latest push."""

    def __enter__(self) -> "CheckpointRegistry":
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        if kind is not None and self._unpushed is not None:
            self._push(*self._unpushed)

    def find(self, key: str, *, max_bytes: int) -> Iterator[Path]:
        """Yields the files of checkpoints under ``key``, the best candidate first; each is at most ``max_bytes``
        long."""
        yield from self._folder.find(key, max_bytes=max_bytes)
        for tag in self._tags(key):
            if self._pull(tag, self._folder.path(key), max_bytes):
                yield self._folder.path(key)

    def keep(self, key: str, epochs: int, write: Callable[[Path], None], *, last: bool) -> None:
        """Writes a checkpoint after ``epochs`` to the folder, and pushes it if it is time, or if it is the ``last``."""
        if self._unpushed is not None and self._unpushed[0] != key:
            self._unpushed = None
        self._folder.keep_only(key)  # the Job's volume is small
        self._folder.keep(key, epochs, write, last=last)
        self._unpushed = key, epochs
        # Repeating a step costs the steps after it, too; but an unreachable registry is not waited for each time.
        if self._clock() >= self._next or (last and not self._is_away):
            self._push(key, epochs)

    def _push(self, key: str, epochs: int) -> None:
        path, started = self._folder.path(key), self._clock()
        size = path.stat().st_size
        self._is_away = True
        try:
            tag = checkpoint_tag(key, epochs, digest_of_file(path))
            push_artifact(self._repository(), {path.name: path}, artifact_type=CHECKPOINT_TYPE, tag=tag)
        except (OciError, OSError) as error:
            self._progress.say(f"the checkpoint after epoch {epochs} was not pushed: {in_words(error)}")
        else:
            self._unpushed, self._is_away = None, False
            where = replace(self._where, tag=tag)
            self._progress.say(f"pushed a checkpoint after epoch {epochs}, {size} bytes: {where}")
        now = self._clock()
        spread_seconds = (now - self._began) * size / SPREAD_BYTES
        self._next = now + max(PUSH_SECONDS, spread_seconds, (now - started) / PUSHING_SHARE)

    def _tags(self, key: str) -> list[str]:
        try:
            found = {tag: checkpoint_epochs(tag, key) for tag in list_tags(self._repository())}
        except (OciError, OSError) as error:
            self._progress.say(f"no checkpoint of an earlier attempt was looked for: {in_words(error)}")
            return []
        ours = {tag: epochs for tag, epochs in found.items() if epochs is not None}
        return sorted(ours, key=lambda tag: (ours[tag], tag), reverse=True)[:MAX_TRIED]

    def _pull(self, tag: str, to: Path, max_bytes: int) -> bool:
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=to.parent) as scratch:
                pulled = Path(scratch) / to.name
                pull_file(self._repository(), tag, pulled, max_bytes=max_bytes)
                pulled.replace(to)
        except (OciError, OSError) as error:
            self._progress.say(f"the checkpoint {tag} was not fetched: {in_words(error)}")
            return False
        return True

    def _repository(self) -> Repository:
        """Returns the repository; it is made at each call, so that a renewed Secret or token is read again."""
        return self._access.registries("push").repository(self._where)
