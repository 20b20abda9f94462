"""The models of this process, by name: those that serve, and why the others do not."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from edge_runtime.backend import LoadedModel, LoadFailure
from edge_runtime.tuning import Tuning
from edgemodel import reasons
from edgemodel.artifact import ArtifactManifest
from edgemodel.error_words import in_words
from inference_server import logs, memory
from inference_server.errors import ModelNotFound, ModelNotReady
from inference_server.generate.embedding import encoder_of
from inference_server.generate.limits import DEFAULTS, GenerationSettings
from inference_server.identity import Identity
from inference_server.models import loading, replay
from inference_server.models.loading import PreparedModel
from inference_server.models.replay import Record
from inference_server.models.served_model import ServedModel, ServingLimits
from inference_server.observability.metrics import ModelMetrics

LOADING = "the model is being loaded and tested"
UNLOADED = "the model was unloaded; POST /v2/repository/models/{name}/load loads it again"


@dataclass
class ModelEntry:
    """A model of the repository, whatever its revision is now."""

    path: Path
    """The artifact's directory, or an ONNX file."""
    identity: Identity
    manifest: ArtifactManifest
    metrics: ModelMetrics
    served: ServedModel | None = None
    reason: str = LOADING
    """The reason why ``served`` is None."""

    @property
    def state(self) -> str:
        """Returns the state as the repository extension names it."""
        if self.served is not None:
            return "READY"
        return "LOADING" if self.reason == LOADING else "UNAVAILABLE"


class ModelRepository:
    """The models, of which each serves, is being loaded, or has a reason why it does not serve."""

    def __init__(
        self,
        identify: Callable[[ArtifactManifest], Identity],
        *,
        objective_seconds: float | None,
        limits: ServingLimits,
        tuning: Tuning,
        replay_from: str | None,
        replay_token: str | None,
        generation: GenerationSettings = DEFAULTS,
        needs_manifest: bool = False,
    ) -> None:
        """Takes ``replay_from``, the URL of the server that this one will replace; None for none."""
        self._observers: list[Callable[[], None]] = []
        self.entries: dict[str, ModelEntry] = {}
        """The models by name; replaced, never changed."""
        self._identify, self._objective = identify, objective_seconds
        self._limits, self._tuning, self._generation = limits, tuning, generation
        self._needs_manifest = needs_manifest
        self._replay_from, self._replay_token = replay_from, replay_token
        self._lock = Lock()
        """The lock of loads and unloads, which run one at a time."""

    def add(self, path: Path) -> ModelEntry | LoadFailure:
        """Reads the manifest at ``path``, and loads nothing yet."""
        manifest = loading.read_manifest(path, needs_manifest=self._needs_manifest)
        if isinstance(manifest, LoadFailure):
            return manifest
        entry = self._entry(path, manifest)
        if not _can_be_asked_for(entry.identity.model):
            message = f"{path}: no URL can have the name {entry.identity.model!r}: rename the file, or give --model"
            return LoadFailure(reasons.MODEL_LOAD_FAILED, message)
        if (other := self.entries.get(entry.identity.model)) is not None:
            message = f"{path}: {other.path} has the same name {entry.identity.model!r}: rename one"
            return LoadFailure(reasons.MODEL_LOAD_FAILED, message)
        self.entries = {**self.entries, entry.identity.model: entry}
        return entry

    def observe(self, observer: Callable[[], None]) -> None:
        """Calls ``observer`` now, and whenever a model begins or ends to serve, in the thread that loads it."""
        self._observers.append(observer)
        observer()

    @property
    def first(self) -> ModelEntry:
        """Returns the first model, for which requests count that name no model of this server."""
        return next(iter(self.entries.values()))

    @property
    def serving(self) -> list[ServedModel]:
        """The models that serve now."""
        return [served for entry in self.entries.values() if (served := entry.served) is not None]

    @property
    def ready(self) -> bool:
        """True once no model is being loaded for the first time."""
        return all(entry.state != "LOADING" for entry in self.entries.values())

    def find(self, name: str, version: str | None) -> ServedModel:
        """Returns the served model. Raises ModelNotFound, ModelNotReady."""
        entry = self.entry(name, version)
        served = entry.served
        if served is None:
            raise ModelNotReady(f"model {name!r} is not ready: {entry.reason}")
        return served

    def entry(self, name: str, version: str | None) -> ModelEntry:
        """Returns the model. Raises ModelNotFound."""
        entry = self.entries.get(name)
        if entry is None:
            raise ModelNotFound(f"model {name!r} is unknown, this server has {', '.join(map(repr, self.entries))}")
        if version not in (None, entry.identity.revision):
            raise ModelNotFound(f"version {version!r} is unknown, this server has {entry.identity.revision!r}")
        return entry

    def load(self, name: str) -> PreparedModel | LoadFailure:
        """Loads a model, or replaces one that serves on until then; this takes long."""
        outcome = self._load(name)
        memory.settle()
        return outcome

    def _load(self, name: str) -> PreparedModel | LoadFailure:
        with self._lock:
            old = entry = self.entries[name]
            if entry.reason != LOADING or entry.served is not None:
                manifest = loading.read_manifest(old.path, needs_manifest=self._needs_manifest)
                if isinstance(manifest, LoadFailure):
                    return _failed(old, manifest)
                entry = self._entry(old.path, manifest)
                if entry.identity.model != name:
                    message = f"{old.path} holds the model {entry.identity.model!r} now, not {name!r}"
                    return _failed(old, LoadFailure(reasons.MODEL_LOAD_FAILED, message))
            outcome = loading.prepare(entry.path, entry.manifest, self._tuning, self._generation)
            if isinstance(outcome, LoadFailure):
                return _failed(old, outcome)
            if outcome.golden is not None:
                disagree = outcome.golden.items - outcome.golden.agree
                entry.metrics.golden = (outcome.golden.agree, disagree, float(outcome.golden.min_percent))
            self._replay(old, entry, outcome.model)
            served = ServedModel(entry.identity, outcome.model, entry.metrics, self._limits)
            served.encoder = encoder_of(entry.path, outcome.model)
            entry.served = served
            self.entries = {**self.entries, name: entry}
            self._tell_observers()
        return outcome

    def unload(self, name: str) -> None:
        """Removes a model; its requests in work are still answered."""
        with self._lock:
            entry = self.entries[name]
            entry.reason = UNLOADED.format(name=name)
            entry.served = None
            self._tell_observers()
        memory.settle()

    def _replay(self, before: ModelEntry, entry: ModelEntry, candidate: LoadedModel) -> None:
        """Replays the latest requests of its predecessor on ``candidate``: from this process, or from the server that
        it will replace."""
        try:
            records = before.served.recent() if before.served is not None else self._fetched(entry.identity.model)
            if not records:
                return
            result = replay.replay(candidate.run, candidate.signature, records, entry.manifest.golden)
        except Exception as error:  # an error of the replay decides nothing
            logs.event("nothing was replayed", model=entry.identity.model, error=in_words(error))
            return
        entry.metrics.replayed = (result.agree, result.disagree)
        logs.event("replayed", model=entry.identity.model, result=str(result))

    def _fetched(self, model: str) -> list[Record]:
        if self._replay_from is None or self._replay_token is None:
            return []
        return replay.fetch(f"{self._replay_from}/v2/models/{quote(model)}/replay", self._replay_token)

    def _entry(self, path: Path, manifest: ArtifactManifest) -> ModelEntry:
        identity = self._identify(manifest)
        return ModelEntry(path, identity, manifest, ModelMetrics(identity, manifest, self._objective))

    def _tell_observers(self) -> None:
        for observer in self._observers:
            observer()


def _failed(entry: ModelEntry, ending: LoadFailure) -> LoadFailure:
    """Records why the model cannot be served. The failure of a model that has never served ends the server, which is
    not ready until then."""
    if entry.served is None and entry.reason != LOADING:
        entry.reason = ending.message
    return ending


def _can_be_asked_for(model: str) -> bool:
    """Returns whether a URL can name the model: no client sends a path with ``.`` or ``..``, and URLs are UTF-8."""
    return model not in ("", ".", "..") and "/" not in model and _is_utf_8(model)


def _is_utf_8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
