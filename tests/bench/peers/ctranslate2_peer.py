"""CTranslate2 with int8 weights: ``python ctranslate2_peer.py MODEL THREADS CONTEXT`` answers as text_peer.py says;
``python ctranslate2_peer.py convert SOURCE MODEL`` converts the folder of language_source.py."""

import json
import sys
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from ctranslate2.converters.converter import Converter
from ctranslate2.specs import common_spec, transformer_spec
from text_peer import now, serve, since


class Source(Converter):  # type: ignore[misc]  # its stubs are not here
    """The weights that are converted."""

    def __init__(self, folder: Path) -> None:
        self._about = json.loads((folder / "config.json").read_text())
        self._vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        self._weights = dict(np.load(folder / "weights.npz"))

    def _load(self) -> Any:
        about = self._about
        spec = transformer_spec.TransformerDecoderModelSpec.from_config(
            about["num_hidden_layers"], about["num_attention_heads"], activation=common_spec.Activation.SWISH,
            pre_norm=True, ffn_glu=True, rms_norm=True, rotary_dim=0, rotary_interleave=False,
            rotary_base=about["rope_theta"], num_heads_kv=about["num_key_value_heads"], head_dim=about["head_dim"],
        )  # fmt: skip
        decoder = spec.decoder
        table = self._weights["model.embed_tokens.weight"]
        decoder.scale_embeddings = False
        decoder.embeddings.weight = decoder.projection.weight = table
        decoder.layer_norm.gamma = self._weights["model.norm.weight"]
        for number, layer in enumerate(decoder.layer):
            self._fill(layer, f"model.layers.{number}")
        spec.register_vocabulary(sorted(self._vocabulary, key=self._vocabulary.__getitem__))
        names = {number: token for token, number in self._vocabulary.items()}
        spec.config.bos_token, spec.config.eos_token = names[about["bos_token_id"]], names[about["eos_token_id"]]
        spec.config.unk_token = names[0]
        spec.config.layer_norm_epsilon = about["rms_norm_eps"]
        return spec

    def _fill(self, layer: Any, name: str) -> None:
        def rows(kind: str) -> Any:
            return np.ascontiguousarray(self._weights[f"{name}.{kind}.MatMul.weight"].T)

        attention = layer.self_attention
        attention.layer_norm.gamma = self._weights[f"{name}.input_layernorm.weight"]
        attention.linear[0].weight, attention.linear[1].weight = rows("attn.qkv_proj"), rows("attn.o_proj")
        layer.ffn.layer_norm.gamma = self._weights[f"{name}.post_attention_layernorm.weight"]
        layer.ffn.linear_0.weight, layer.ffn.linear_0_noact.weight = rows("mlp.gate_proj"), rows("mlp.up_proj")
        layer.ffn.linear_1.weight = rows("mlp.down_proj")


def answers(model: str, threads: int, context: int) -> Any:
    """Returns the function that answers: the library has no steps, so that a second run tells the prompt's share."""
    generator = ctranslate2.Generator(model, inter_threads=1, intra_threads=threads, compute_type="int8")
    names = json.loads((Path(model) / "vocabulary.json").read_text())

    def run(prompt: list[int], count: int) -> Any:
        found = generator.generate_batch(
            [[names[token] for token in prompt]], max_length=count, min_length=count, sampling_topk=1,
            include_prompt_in_result=False,
        )  # fmt: skip
        return found[0].sequences_ids[0]

    def answer(prompt: list[int], count: int) -> dict[str, Any]:
        prompt = prompt[-context:]
        start = now()
        run(prompt, 1)
        first = since(start)
        start = now()
        tokens = run(prompt, count)
        whole = since(start)
        rest = [max(one - other, 1e-9) for one, other in zip(whole, first, strict=True)]
        return {"prompt": first, "rest": rest, "tokens": tokens}

    return answer


if __name__ == "__main__":
    if sys.argv[1] == "convert":
        Source(Path(sys.argv[2])).convert(sys.argv[3], quantization="int8")
    else:
        serve(answers(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
