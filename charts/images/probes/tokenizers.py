"""Reads a text as tokens, and renders a template in the sandbox."""

import json

import tokenizers
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

model = {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}
split = {"type": "Whitespace"}
tokenizer = tokenizers.Tokenizer.from_str(json.dumps({"version": "1.0", "pre_tokenizer": split, "model": model}))
ids = tokenizer.encode("b a b").ids
assert ids == [1, 0, 1], ids
template = ImmutableSandboxedEnvironment(extensions=[loopcontrols]).from_string("{% for x in y %}{{ x }}{% endfor %}")
assert template.render(y=[1, 2]) == "12"
print(f"tokenizers {tokenizers.__version__} answered {ids}")
