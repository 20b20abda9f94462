"""The section of an artifact's manifest about a model that generates text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edge_compressor.models.model_file import ModelFile
from edgemodel.json_text import parse_json

CONFIGS: Final = ("config.json", "generation_config.json")
"""The files of Hugging Face that say how long texts may be, and which tokens end one."""


def describe_generator(model: ModelFile, files: Mapping[str, Path]) -> dict[str, Any]:
    """Returns the section ``generator``, from the model and the ``files`` beside it by name; empty for a model that
    continues no texts, or without a configuration that says how long they may be."""
    configs = [_object(files[name]) for name in CONFIGS if name in files]
    lengths = (config.get("max_position_embeddings") for config in configs)
    longest = next((length for length in lengths if isinstance(length, int) and length > 0), None)
    if model.decoder is None or longest is None:
        return {}
    stops = {stop for config in configs for stop in _whole_numbers(config.get("eos_token_id"))}
    return {
        "generator": {
            "contextTokens": longest,
            "cacheBytesPerToken": model.decoder.cache_bytes_per_token,
            "layers": len(model.decoder.past) // 2,
            "stopTokenIds": sorted(stops),
            "vocabulary": model.decoder.vocabulary,
        }
    }


def _object(path: Path) -> dict[str, Any]:
    """Returns the JSON object in the file; an empty one for anything else, which the server refuses in its own
    words."""
    try:
        value = parse_json(path.read_bytes())
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _whole_numbers(value: Any) -> list[int]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int)]
