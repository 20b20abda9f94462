"""The checkpoint of a training after each epoch, from which a Job continues that was evicted.

A checkpoint is found by what determines the training: the step, its settings and the file that it began with. It is as
large as the trained parameters, and once more for SGD's momentum or twice more for AdamW's moments.
"""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from edge_compressor.step_interface.step_type import StepContext
from edgemodel.digest import canonical_json
from edgemodel.error_words import in_words

MAX_TIMES: Final = 4
"""The limit of a checkpoint's size, in multiples of the trained parameters: with AdamW's moments it has three."""
ROOM_BYTES: Final = 16 << 20
"""The allowance for its other contents: names, an entry for each tensor, the state of the random numbers."""


@dataclass(frozen=True)
class State:
    """The state that a training changes."""

    parts: nn.Module
    optimizer: torch.optim.Optimizer
    rates: torch.optim.lr_scheduler.LRScheduler

    def content(self) -> dict[str, Any]:
        """Returns the tensors themselves, not a copy: training changes them."""
        return {
            "parts": self.parts.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rates": self.rates.state_dict(),
            "random": torch.get_rng_state(),
        }

    def take(self, content: Mapping[str, Any]) -> None:
        """Restores the state. Raises whatever torch raises for content that does not match, after possibly changing
        some of it."""
        self.parts.load_state_dict(content["parts"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.rates.load_state_dict(content["rates"])
        torch.set_rng_state(content["random"])


@dataclass(frozen=True)
class Training:
    """One run of the training loop. ``round`` counts the runs of one step that have the same settings."""

    context: StepContext
    schedule: Any
    state: State
    round: int = 0

    def keep(self, epochs: int) -> None:
        """Stores a checkpoint after ``epochs``. A full disk costs the checkpoint, not the training."""
        context = self.context
        if context.checkpoints is None:
            return
        content = {"key": self._key(), "epochs": epochs, **self.state.content()}

        def write(path: Path) -> None:
            torch.save(content, path)

        try:
            context.checkpoints.keep(self._key(), epochs, write, last=epochs == self.schedule.epochs)
        except (OSError, RuntimeError) as error:  # torch's own writer raises the second
            context.progress.say(f"the checkpoint after epoch {epochs} was not stored: {_said(error)}")

    def restore(self) -> int:
        """Restores the state and returns the number of completed epochs; 0, with nothing changed, if no checkpoint
        matches."""
        context = self.context
        if context.checkpoints is None:
            return 0
        before = None
        for path in context.checkpoints.find(self._key(), max_bytes=self._most_bytes()):
            before = before or copy.deepcopy(self.state.content())
            try:
                kept = _load(path)
                epochs = self._check(kept)
                self.state.take(kept)
            except Exception as error:  # torch raises anything for content that it did not write
                context.progress.say(f"a checkpoint cannot be used: {_said(error)}")
                self.state.take(before)
                continue
            context.progress.say(f"resumes from a checkpoint after epoch {epochs}")
            return epochs
        if before is not None:
            context.progress.say("training starts from the beginning")
        return 0

    def _key(self) -> str:
        shapes = [[name, list(value.shape)] for name, value in self.state.parts.state_dict().items()]
        what = [self.context.name, self.context.key, asdict(self.schedule), self.round, shapes]
        return hashlib.sha256(canonical_json(what)).hexdigest()[:32]

    def _most_bytes(self) -> int:
        own: int = sum(value.nbytes for value in self.state.parts.state_dict().values())
        return MAX_TIMES * own + ROOM_BYTES

    def _check(self, kept: Mapping[str, Any]) -> int:
        """Returns the checkpoint's epochs. Raises ValueError for faults that loading would not notice."""
        if kept["key"] != self._key():
            raise ValueError(f"it is of another training, {kept['key']!r}")
        epochs: int = kept["epochs"]
        if not 1 <= epochs <= self.schedule.epochs:
            raise ValueError(f"it was stored after epoch {epochs} of {self.schedule.epochs}")
        parameters = [one for group in self.state.optimizer.param_groups for one in group["params"]]
        for index, moments in kept["optimizer"]["state"].items():
            for name, value in moments.items():
                if isinstance(value, Tensor) and value.dim() and value.shape != parameters[index].shape:
                    raise ValueError(f"{name} has the shape {list(value.shape)}, want {list(parameters[index].shape)}")
        return epochs


def _load(path: Path) -> dict[str, Any]:
    """Returns the checkpoint's content. Raises ValueError, since torch's own message would advise to load a pickle."""
    try:
        return dict(torch.load(path, weights_only=True))
    except Exception as error:
        raise ValueError("it is damaged, or holds more than tensors") from error


def _said(error: Exception) -> str:
    """A ValueError is of this module, and a message already."""
    text = in_words(error, 200)
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
