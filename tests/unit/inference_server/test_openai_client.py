"""OpenAI's own client against the server, which is what most programs ask a language model with.

It is imported when a test asks for it: that takes a second, which the collection of tests need not take.
"""

from __future__ import annotations

import base64
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from tests.support.text_models import CONTEXT, TOKENS, write_encoder, write_text_model
from tests.unit.inference_server.artifacts import with_manifest
from tests.unit.inference_server.processes import REPOSITORY, RunningServer, serving_process

if TYPE_CHECKING:
    from openai import OpenAI

pytestmark = pytest.mark.slow

SAID = "Hi, ä€😀wrd!"
PAGE = REPOSITORY / "docs" / "serving" / "generation.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = write_text_model(tmp_path_factory.mktemp("text"), SAID)
    with serving_process(with_manifest(folder)) as server:
        yield server


@pytest.fixture(scope="module")
def openai() -> Any:
    """Returns the package."""
    return importlib.import_module("openai")


def client_of(openai: Any, server: RunningServer) -> OpenAI:
    client: OpenAI = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="any", max_retries=0)
    return client


@pytest.fixture
def client(openai: Any, server: RunningServer) -> OpenAI:
    return client_of(openai, server)


def test_a_chat_is_answered(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": [{"type": "text", "text": "?"}]}], temperature=0
    )
    assert answer.choices[0].message.content == SAID
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(SAID.encode()) + 1


def test_a_chat_is_streamed(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "?"}],
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *texts, last = chunks
    assert "".join(chunk.choices[0].delta.content or "" for chunk in texts) == SAID
    assert texts[-1].choices[0].finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.completion_tokens == len(SAID.encode()) + 1


def test_a_completion_goes_on(client: OpenAI) -> None:
    assert client.completions.create(model="tiny", prompt="w", temperature=0).choices[0].text == "rd!"
    streamed = client.completions.create(model="tiny", prompt="w", temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == "rd!"


def test_embeddings_are_the_models_means(openai: Any, tmp_path: Path) -> None:
    folder = tmp_path / "e"
    table = write_encoder(folder, max_tokens=8)
    with serving_process(with_manifest(folder)) as server:
        client = client_of(openai, server)
        forms: tuple[Literal["float", "base64"], ...] = ("float", "base64")
        for form in forms:
            made = client.embeddings.create(model="tiny", input=["ab", "c"], encoding_format=form)
            for text, item in zip(("ab", "c"), made.data, strict=True):
                wanted = table[[TOKENS[letter] for letter in text]].mean(axis=0)
                vector = item.embedding
                if isinstance(vector, str):
                    vector = np.frombuffer(base64.b64decode(vector), "<f4").tolist()
                np.testing.assert_allclose(vector, wanted / np.linalg.norm(wanted), rtol=1e-5)
            assert made.usage.prompt_tokens == 3
        with pytest.raises(openai.BadRequestError, match="9 tokens, and the model reads 8"):
            client.embeddings.create(model="tiny", input="a" * 9)
        with pytest.raises(openai.BadRequestError, match="generates no text"):
            client.completions.create(model="tiny", prompt="?")
        assert server.counted("edgemodel_inference_requests_total", 'outcome="ok"') == 2


def test_a_model_of_text_makes_no_embeddings(openai: Any, client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="no embeddings"):
        client.embeddings.create(model="tiny", input="?")


def test_errors_are_the_clients_own(openai: Any, client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=str(CONTEXT)) as raised:
        client.completions.create(model="tiny", prompt="." * CONTEXT)
    assert raised.value.param == "prompt"
    with pytest.raises(openai.NotFoundError, match="unknown"):
        client.completions.create(model="other", prompt="?")


def test_the_example_of_the_page_runs(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    exec(code.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}"), {})  # noqa: S102 - it is a page of ours
    assert capsys.readouterr().out.endswith(SAID)
