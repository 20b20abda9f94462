"""The settings of a model of Hugging Face, ``config.json``: each is read, or known to change nothing.

A setting that is passed over makes another model of the same weights, and nothing fails. So whatever is left unread in
the end is refused by its name.
"""

from collections.abc import Mapping
from typing import Any, Final

from edge_compressor.models.language_files import CONFIG_FILE

_WITHOUT_EFFECT: Final = frozenset({
    "_attn_implementation", "_attn_implementation_autoset", "_name_or_path", "architectures", "attn_implementation",
    "attention_dropout", "bos_token_id", "chunk_size_feed_forward", "cls_token_id", "dtype", "embd_pdrop",
    "eos_token_id", "finetuning_task", "gradient_checkpointing", "hidden_dropout", "id2label", "initializer_range",
    "label2id", "language", "mask_token_id", "model_type", "name_or_path", "output_attentions", "output_hidden_states",
    "pad_token_id", "prefix", "problem_type", "resid_pdrop", "return_dict", "return_dict_in_generate", "sep_token_id",
    "task_specific_params", "tokenizer_class", "torch_dtype", "torchscript", "transformers.js_config",
    "transformers_version", "unk_token_id", "unsloth_fixed", "unsloth_version", "use_bfloat16", "use_cache",
})  # fmt: skip
"""The settings of training, of tokenizers and of transformers itself, which change no logits."""
_OF_DECODING: Final = frozenset({
    "bad_words_ids", "begin_suppress_tokens", "decoder_start_token_id", "diversity_penalty", "do_sample",
    "early_stopping", "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "forced_bos_token_id",
    "forced_eos_token_id", "length_penalty", "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups",
    "num_beams", "num_return_sequences", "output_scores", "remove_invalid_values", "repetition_penalty",
    "suppress_tokens", "temperature", "top_k", "top_p", "typical_p",
})  # fmt: skip
"""The settings of how tokens are chosen, which a server has settings of its own for."""
_WHOLLY_OFF: Final[Mapping[str, tuple[Any, ...]]] = {
    "add_cross_attention": (False,),
    "cross_attention_hidden_size": (),
    "is_decoder": (False, True),
    "is_encoder_decoder": (False,),
    "pruned_heads": ({},),
    "tie_encoder_decoder": (False,),
}
"""The settings of transformers that turn a decoder into another model, with the values that do not."""


class Unfit(Exception):
    """The folder cannot become a decoder; the text names the setting or the weight, and what to do."""


class Config:
    """The settings of one ``config.json``, or of one group in it, by name.

    Every method raises Unfit, naming the setting, for a value that is not of its kind. A setting that is null is one
    that is left out.
    """

    def __init__(self, values: Mapping[str, Any], group: str = "") -> None:
        """Takes ``group``, the name of the setting that holds them; empty for the file itself."""
        self._values = {key: value for key, value in values.items() if value is not None}
        self._named = values.keys()
        self._group = f"{group}." if group else ""
        self._read: set[str] = set()

    def whole(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """Returns a whole number from ``least``; without a ``default`` it has to be there."""
        value = self._value(key, default)
        if type(value) is not int or value < least:
            raise self.unfit(key, f"want a whole number from {least}")
        return value

    def optional_whole(self, key: str, *, absent: int) -> int | None:
        """Returns a whole number from 1; None if it is null, and ``absent`` if it is not named at all."""
        if key not in self._named:
            self._read.add(key)
            return absent
        return None if self._value(key) is None else self.whole(key)

    def number(self, key: str, default: float | None = None) -> float:
        """Returns a number above 0; without a ``default`` it has to be there."""
        value = self._value(key, default)
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            raise self.unfit(key, "want a number above 0")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """Returns true or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.unfit(key, "want true or false")
        return value

    def text(self, key: str) -> str | None:
        """Returns a text; None if it is left out."""
        value = self._value(key)
        if value is not None and not isinstance(value, str):
            raise self.unfit(key, "want a text")
        return value

    def texts(self, key: str) -> list[str] | None:
        """Returns a list of texts; None if it is left out."""
        value = self._value(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            raise self.unfit(key, "want a list of texts")
        return value

    def group(self, key: str) -> "Config | None":
        """Returns a group of settings, which are refused on their own; None if it is left out."""
        value = self._value(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.unfit(key, "want an object of settings")
        return Config(value, key)

    def only(self, key: str, *values: Any) -> None:
        """Checks that the setting is left out, or one of ``values``, which change nothing."""
        value = self._value(key)
        if value is not None and not any(value == one and type(value) is type(one) for one in values):
            listed = " or ".join(map(repr, values)) or "none"
            raise self.unfit(key, f"the graph that is written knows {listed}")

    def ignore(self, *keys: str) -> None:
        """Passes over settings that change nothing in this architecture."""
        self._read.update(keys)

    def refuse_unread(self) -> None:
        """Raises Unfit for the first setting that nothing has read."""
        if not self._group:
            self.ignore(*_WITHOUT_EFFECT, *_OF_DECODING)
            for key, values in _WHOLLY_OFF.items():
                self.only(key, *values)
        for key in sorted(self._values.keys() - self._read):
            message = "it is not known, and could change what the model says"
            raise self.unfit(key, f"{message}: delete it if it does not, or export the model to ONNX")

    def unfit(self, key: str, why: str) -> Unfit:
        """Returns the error about a setting, with its value."""
        shown = repr(self._values[key])[:80] if key in self._values else "left out"
        return Unfit(f"{CONFIG_FILE}: {self._group}{key} is {shown}: {why}")

    def _value(self, key: str, default: Any = None) -> Any:
        self._read.add(key)
        return self._values.get(key, default)
