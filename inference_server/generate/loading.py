"""Loads a model that generates text, from the files of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from edge_runtime.backend import LoadFailure
from edge_runtime.loading import load_generator
from edge_runtime.tokens import Tokens, load_tokens
from edge_runtime.tuning import Tuning
from edgemodel import reasons
from edgemodel.artifact import ArtifactManifest
from edgemodel.error_words import in_words
from edgemodel.json_text import parse_json
from edgemodel.names import TOKENIZER_FILE
from edgemodel.user_files import UnreadableFile, read_text
from inference_server.generate.chat import ChatTemplate
from inference_server.generate.limits import GenerationSettings, limits_of, memory_limit, shortage
from inference_server.generate.model import TextModel

TOKENIZER_CONFIG, TEMPLATE = "tokenizer_config.json", "chat_template.jinja"
CONFIGS = ("config.json", "generation_config.json")
"""The files that name the tokens at which the model ends an answer."""
_CACHE_INPUT = b"past_key_values.0.key"
"""The name of an input that every decoder with a cache has."""
_CACHE_ITEM_BYTES = 4
"""The size of a number in a cache whose type is not known before the graph is read: the largest."""
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")


def generates(path: Path, manifest: ArtifactManifest) -> bool:
    """Returns whether the artifact in the folder ``path`` is a model that generates text: a decoder with a cache, and a
    tokenizer beside it."""
    if not (path / TOKENIZER_FILE).is_file():
        return False
    with (path / manifest.model_file).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as graph:
        return graph.find(_CACHE_INPUT) >= 0


def load_text_model(path: Path, manifest: ArtifactManifest, tuning: Tuning, settings: GenerationSettings) -> TextModel:
    """Returns the model in the folder at ``path``, whose digests were verified. Raises LoadFailure.

    Nothing is loaded unless cache, server and weights, if they are not mapped, fit into the memory limit.
    """
    about = manifest.evidence.get("generator") or _description(path)
    try:
        limits = limits_of(settings, int(about["contextTokens"]))
        per_token = int(about["cacheBytesPerToken"])
    except (KeyError, TypeError, ValueError) as error:
        raise _failure(f"{path}: {in_words(error)}") from error
    weights = 0 if tuning.mapped else sum(file.size_bytes for file in manifest.files.values())
    if (lacking := shortage(weights, per_token, limits, memory_limit())) is not None:
        raise LoadFailure(reasons.INSUFFICIENT_MEMORY, lacking)
    tokens = load_tokens(path / TOKENIZER_FILE)
    configs = {name: _json(path / name) for name in (TOKENIZER_CONFIG, *CONFIGS)}
    stops = stop_tokens(configs, about, tokens)
    template = _template(path, configs[TOKENIZER_CONFIG])
    try:
        generator = load_generator(path / manifest.model_file, manifest.runtime, tuning)
        if tokens.ids[-1] >= generator.vocabulary:
            generator.close()
            raise _failure(
                f"{path / TOKENIZER_FILE} has tokens up to {tokens.ids[-1]}, the model scores {generator.vocabulary}:"
                " it is the tokenizer of another model"
            )
    except LoadFailure:
        if template is not None:
            template.close()
        raise
    return TextModel(generator, tokens, template, stops, limits)


def stop_tokens(configs: Mapping[str, Mapping[str, Any]], about: Mapping[str, Any], tokens: Tokens) -> frozenset[int]:
    """Returns the tokens that end an answer: all that any of the files names, as each forgets some."""
    found: set[int] = set()
    for ids in (about.get("stopTokenIds"), *(configs[name].get("eos_token_id") for name in CONFIGS)):
        found.update(one for one in (ids if isinstance(ids, list) else [ids]) if isinstance(one, int))
    name = _name(configs[TOKENIZER_CONFIG].get("eos_token"))
    if name is not None and (one := tokens.id_of(name)) is not None:
        found.add(one)
    return frozenset(found)


def _template(path: Path, config: Mapping[str, Any]) -> ChatTemplate | None:
    source = config.get("chat_template")
    if isinstance(source, list):  # several, by their names
        named = {one.get("name"): one.get("template") for one in source if isinstance(one, dict)}
        source = named.get("default")
    if (path / TEMPLATE).is_file():
        source = _text(path / TEMPLATE)
    if not isinstance(source, str):
        return None
    special = {key: name for key in _SPECIAL if (name := _name(config.get(key))) is not None}
    return ChatTemplate(source, special)


def _name(token: Any) -> str | None:
    """Returns the name of a special token, which is a text or an object with it."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _json(path: Path) -> dict[str, Any]:
    """Returns the object in an optional file."""
    if not path.exists():
        return {}
    try:
        value = parse_json(_text(path).encode())
    except ValueError as error:
        raise _failure(f"{path} is not JSON: {in_words(error)}") from error
    if not isinstance(value, dict):
        raise _failure(f"{path} is not a JSON object")
    return value


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except UnreadableFile as error:
        raise _failure(str(error)) from error


def _failure(message: str) -> LoadFailure:
    return LoadFailure(reasons.MODEL_LOAD_FAILED, message)


def _description(path: Path) -> dict[str, int]:
    """Returns what the configuration in the folder at ``path`` says of its decoder, as the manifest would have it."""
    about = _json(path / CONFIGS[0])
    try:
        heads = int(about["num_attention_heads"])
        head_size = int(about.get("head_dim") or int(about["hidden_size"]) // heads)
        key_heads = int(about.get("num_key_value_heads") or heads)
        return {
            "contextTokens": int(about["max_position_embeddings"]),
            "cacheBytesPerToken": 2 * int(about["num_hidden_layers"]) * key_heads * head_size * _CACHE_ITEM_BYTES,
        }
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise _failure(f"{path / CONFIGS[0]} does not describe a decoder: {in_words(error)}") from error
