"""The task Language: how well a decoder predicts the next token of texts, which are their own labels.

Bits per token is the mean of -log2 of the probability that the model gives to the token that follows; perplexity is 2
to that power. Both models read the same texts, so that the difference of their bits is far more certain than either
value: its interval is bootstrapped by texts, since the tokens of one text depend on each other. Perplexity hardly moves
where many greedy tokens flip, so the share of places where both find the same token most likely is judged beside it,
and bootstrapped likewise. The score is the share of tokens that were the most likely ones.

Logits are reduced while they come, part by part: those of a text of 1,000 tokens may take half a gigabyte.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation import bootstrap
from edge_compressor.evaluation.result import Evaluation, Scores, ratio
from edge_compressor.evaluation.task import Answers, Figure, Outputs, TaskType, invalid
from edge_compressor.gate import Alike, OwnScore, PerplexityChange
from edge_runtime.datatypes import Array
from edge_statistics.interval import Interval
from edge_statistics.wilson import wilson_interval

MAX_BITS: Final = 64.0
"""The bits of a token to which the model gives no probability, or no number."""
_NONE: Final = -1
"""The greedy token of logits with NaN, which equals no other."""


@dataclass(frozen=True)
class Language:
    """The comparison of the probabilities of the tokens that follow."""

    def check(self, dataset: Dataset) -> Dataset:
        """Returns the data set. Raises Stalled if it holds no texts."""
        if dataset.decoder is None:
            raise invalid(dataset, "task Language wants the texts of a decoder")
        return dataset

    def read(self, outputs: Outputs, rows: int, dataset: Dataset) -> Answers:
        """Raises Stalled: texts are read by ``read_tokens``."""
        raise invalid(dataset, "task Language wants the texts of a decoder")

    def read_tokens(self, logits: Array, following: Array) -> Answers:
        """Returns the bits of the tokens that follow, and whether each was the most likely one, (places,)."""
        highest = logits.max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            sums = np.log(np.exp(logits - highest).sum(axis=1, dtype=np.float64)) + highest[:, 0]
            nats = sums - np.take_along_axis(logits, following[:, None], axis=1)[:, 0]
        bits = np.nan_to_num(nats / np.log(2), nan=MAX_BITS, posinf=MAX_BITS).clip(0, MAX_BITS)
        greedy = np.where(np.isfinite(highest[:, 0]), logits.argmax(axis=1), _NONE)
        return {"bits": bits, "greedy": greedy}

    def compare(self, dataset: Dataset, source: Answers | None, artifact: Answers) -> Evaluation:
        """Returns the figures of the artifact against the source's; of the artifact alone if ``source`` is None."""
        following, there = _following(dataset)
        tokens = there.sum(axis=1)
        after = _sums(artifact, following, there)
        if source is None:
            own = bootstrap.alone(lambda weights: ratio(weights @ after[:, 1:], weights @ tokens), dataset.size)
            return Evaluation(
                TASK.type, dataset.size, None, "Tokens", _METRIC, artifact=_scores(after, tokens), own=own,
            )  # fmt: skip
        before = _sums(source, following, there)
        same = ((source["greedy"] == artifact["greedy"]) & (artifact["greedy"] != _NONE) & there).sum(axis=1)

        def score(weights: Array) -> Array:
            """Returns the shares of right tokens of source and artifact, the additional bits, and the share of equal
            tokens."""
            columns = np.stack([before[:, 1], after[:, 1], after[:, 0] - before[:, 0], same], axis=1)
            return np.asarray(weights @ columns / (weights @ tokens))

        paired, seen, drawn = bootstrap.compare(score, dataset.size)
        bits, share = float(seen[2]), float(seen[3])
        counted = int(tokens.sum())
        agreement = OwnScore(dataset.size, share, _share_interval(drawn[:, 3], share, dataset.size, counted))
        return Evaluation(
            task=TASK.type,
            samples=dataset.size,
            agreement=share,
            agreement_kind="Tokens",
            metric=_METRIC,
            source=_scores(before, tokens),
            artifact=_scores(after, tokens),
            answers=paired,
            perplexity=PerplexityChange(
                dataset.size, counted, bits, bootstrap.of_a_difference(drawn[:, 2], bits, dataset.size)
            ),
            alike=Alike(agreement, counted, "greedy tokens"),
            doubt=_doubt(dataset, before, tokens),
        )


_METRIC: Final = "share of next tokens that are right"


def _share_interval(drawn: Array, share: float, texts: int, tokens: int) -> Interval:
    """Returns the interval of a share of tokens, bootstrapped by texts; it is at least that of independent tokens."""
    by_texts, least = (
        bootstrap.of_a_difference(drawn, share, texts),
        wilson_interval(min(share * tokens, tokens), tokens),
    )
    lower, upper = min(by_texts.lower, least.lower), max(by_texts.upper, least.upper)
    return Interval(max(0.0, lower), min(1.0, upper))


def _following(dataset: Dataset) -> tuple[Array, Array]:
    """Returns the token that follows each place, and where there is one, (texts, places)."""
    texts = [dataset.text(position) for position in range(dataset.size)]
    longest = max(map(len, texts))
    following = np.full((len(texts), longest - 1), _NONE, np.int64)
    for row, text in enumerate(texts):
        following[row, : len(text) - 1] = text[1:]
    return following, following != _NONE


def _sums(answers: Answers, following: Array, there: Array) -> Array:
    """Returns the bits and the number of right tokens of each text, (texts, 2)."""
    right = (answers["greedy"] == following) & there
    return np.stack([np.where(there, answers["bits"], 0).sum(axis=1), right.sum(axis=1)], axis=1)


def _scores(sums: Array, tokens: Array) -> Scores:
    bits, right = (float(total) / float(tokens.sum()) for total in sums.sum(axis=0))
    return Scores(right, {"bitsPerToken": bits, "perplexity": 2.0**bits, "nextToken": right})


def _doubt(dataset: Dataset, source: Array, tokens: Array) -> str:
    """Returns why no change means anything; empty if the source predicts the texts better than chance."""
    vocabulary = dataset.decoder.vocabulary if dataset.decoder else -1
    bits = float(source[:, 0].sum() / tokens.sum())
    if vocabulary < 2 or bits < np.log2(vocabulary):
        return ""
    return (
        f"the source needs {bits:.1f} bits per token, and chance among {vocabulary} tokens {np.log2(vocabulary):.1f}: "
        "the texts are not in its language, or were made into tokens by another tokenizer"
    )


TASK: Final = TaskType(
    type="Language",
    doc="The model is a decoder, and texts are their own labels: each token is predicted from those before it.",
    label="none; `texts` [n], or `input_ids` [n, tokens], -1 after the end",
    score="perplexity and equal greedy tokens, by their own limits; share of next tokens that are right",
    interval="paired bootstrap, by texts",
    make=lambda settings: Language(),
    decoders=True,
    figures={
        "bitsPerToken": Figure("bits per token", "{:.4f}"),
        "perplexity": Figure("perplexity", "{:.2f}"),
        "nextToken": Figure("next tokens that are right", "{:.2%}"),
    },
)
