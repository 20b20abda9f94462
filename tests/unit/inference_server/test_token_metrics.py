"""The metrics of models that generate text, as Prometheus reads them."""

from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgemodel import metrics as contract
from edgemodel.artifact import ArtifactManifest
from edgemodel.generation import TokenObjectives
from inference_server.identity import Identity
from inference_server.observability.metrics import Exposition, ModelMetrics
from inference_server.observability.tokens import TokenMetrics

IDENTITY = Identity("chat", "smol", "smol-0123456789", "default", "node-1")
WARM = {contract.WARM_UP_LABEL: contract.WARM_UP}


class _Manifest:
    artifact_digest = source_digest = "sha256:0"


@pytest.fixture
def generator() -> ModelMetrics:
    made = ModelMetrics(IDENTITY, cast(ArtifactManifest, _Manifest()), None)
    made.tokens = TokenMetrics(TokenObjectives(first_token=0.5, inter_token=0.05))
    return made


def scraped(model: ModelMetrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Returns the values by (name, labels without identity and process)."""
    common = {*contract.IDENTITY_LABELS, contract.PROCESS_LABEL}
    text = Exposition(lambda: [model]).scrape().decode()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(s.name, frozenset((k, v) for k, v in s.labels.items() if k not in common)): s.value for s in samples}


def value(samples: Any, name: str, **labels: str) -> float:
    return float(samples[name, frozenset(labels.items())])


def end(model: ModelMetrics, reason: str, tokens_out: int = 0, gap: float | None = None) -> None:
    assert model.tokens is not None
    model.tokens.record_end(reason, tokens_in=100, tokens_out=tokens_out, mean_gap_seconds=gap)


def first(model: ModelMetrics, prompt_tokens: int, seconds: float) -> None:
    assert model.tokens is not None
    model.tokens.record_first_token(prompt_tokens, seconds)


@pytest.mark.parametrize(
    ("tokens", "bucket"), [(1, "16"), (16, "16"), (17, "32"), (32768, "32768"), (32769, contract.LONGEST)]
)
def test_a_prompt_belongs_to_the_bucket_that_ends_at_its_length_or_next_above(tokens: int, bucket: str) -> None:
    assert contract.prompt_bucket(tokens) == bucket


def test_the_first_token_is_timed_apart_for_prompts_of_unlike_length(generator: ModelMetrics) -> None:
    generator.end_warm_up()
    for tokens, seconds in ((100, 0.3), (128, 0.5), (129, 2.0)):
        first(generator, tokens, seconds)
    samples, name = scraped(generator), contract.FIRST_TOKEN_SECONDS
    assert value(samples, f"{name}_count", prompt="128") == 2
    assert value(samples, f"{name}_bucket", prompt="128", le="0.4") == 1
    assert value(samples, f"{name}_bucket", prompt="128", le="0.5") == 2, "an edge lies at the objective"
    assert value(samples, f"{name}_sum", prompt="256") == 2.0


def test_a_request_is_one_observation_of_its_mean_gap_however_many_tokens_it_had(generator: ModelMetrics) -> None:
    generator.end_warm_up()
    end(generator, contract.STOP, tokens_out=500, gap=0.03)
    end(generator, contract.LENGTH, tokens_out=1)
    samples = scraped(generator)
    assert value(samples, f"{contract.INTER_TOKEN_SECONDS}_count") == 1
    assert value(samples, f"{contract.INTER_TOKEN_SECONDS}_bucket", le="0.05") == 1
    assert value(samples, contract.TOKENS_TOTAL, direction="in") == 200
    assert value(samples, contract.TOKENS_TOTAL, direction="out") == 501


def test_each_request_has_one_reason_why_it_ended(generator: ModelMetrics) -> None:
    for count, reason in enumerate(contract.FINISH_REASONS):
        for _ in range(count):
            end(generator, reason)
    samples = scraped(generator)
    for count, reason in enumerate(contract.FINISH_REASONS):
        assert value(samples, contract.FINISHED_TOTAL, reason=reason) == count


def test_the_times_of_the_warm_up_are_counted_apart(generator: ModelMetrics) -> None:
    first(generator, 20, 9.0)
    end(generator, contract.STOP, tokens_out=2, gap=0.9)
    generator.end_warm_up()
    first(generator, 20, 0.1)
    first(generator, 200, 0.4)
    end(generator, contract.STOP, tokens_out=2, gap=0.02)
    samples, name = scraped(generator), contract.FIRST_TOKEN_SECONDS
    assert value(samples, f"{name}_sum", prompt="32", **WARM) == 9.0
    assert value(samples, f"{name}_sum", prompt="32") == pytest.approx(0.1)
    assert value(samples, f"{name}_sum", prompt="256") == 0.4
    assert value(samples, f"{contract.INTER_TOKEN_SECONDS}_sum", **WARM) == 0.9
    assert value(samples, f"{contract.INTER_TOKEN_SECONDS}_sum") == pytest.approx(0.02)


def test_the_cache_shows_what_is_used_of_what_is_reserved(generator: ModelMetrics) -> None:
    assert generator.tokens is not None
    generator.tokens.cache_bytes.update(used=46_000, reserved=94_000_000)
    samples = scraped(generator)
    assert value(samples, contract.CACHE_BYTES, state="used") == 46_000
    assert value(samples, contract.CACHE_BYTES, state="reserved") == 94_000_000


def test_a_model_that_generates_nothing_has_none_of_these_series() -> None:
    model = ModelMetrics(IDENTITY, cast(ArtifactManifest, _Manifest()), None)
    own = (contract.FIRST_TOKEN_SECONDS, contract.INTER_TOKEN_SECONDS, contract.TOKENS_TOTAL, contract.FINISHED_TOTAL)
    assert not [name for name, _ in scraped(model) if name.startswith((*own, contract.CACHE_BYTES))]
