"""Generation over HTTP: OpenAI's interface and Triton's, whole answers and streams."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.support.text_models import CONTEXT
from tests.unit.inference_server.artifacts import write_text_artifact
from tests.unit.inference_server.processes import RunningServer, serving_process

SAID = "Hi, ä€😀wrd!"
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "?"}], "temperature": 0}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Yields a server of a model that says SAID; it is shared, so a test must not change or end it."""
    folder = write_text_artifact(tmp_path_factory.mktemp("text"), SAID)
    with serving_process(folder) as server:
        yield server


def events(body: bytes) -> list[Any]:
    """Returns the events of a stream, whose last one is ``[DONE]``."""
    *found, last, rest = body.decode().split("\n\n")
    assert (last, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in found]


def test_a_chat_is_answered_and_its_tokens_are_counted(server: RunningServer) -> None:
    answer = server.request("POST", "/v1/chat/completions", CHAT).json()
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "tiny"
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": SAID}
    assert choice["finish_reason"] == "stop"
    prompt = len("<user\n?<\n<assistant")  # a token a byte, and one for each special name
    said = len(SAID.encode()) + 1
    assert answer["usage"] == {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


@pytest.mark.parametrize(
    ("path", "body", "schema"),
    [
        ("/v1/chat/completions", CHAT, "ChatAnswer"),
        ("/v1/completions", {"prompt": "wr"}, "CompletionAnswer"),
        ("/v2/models/tiny/generate", {"text_input": "wr"}, "Generated"),
        ("/v1/models", None, "OpenAiModels"),
        ("/v1/models/tiny", None, "OpenAiModel"),
        ("/v1/chat/completions", {"messages": []}, "OpenAiError"),
    ],
)
def test_the_description_has_the_answers(server: RunningServer, path: str, body: Any, schema: str) -> None:
    components = {"components": server.get("/openapi.json").json()["components"]}
    answer = server.get(path) if body is None else server.request("POST", path, body)
    jsonschema.validate(answer.json(), {"$ref": f"#/components/schemas/{schema}", **components})


def test_a_stream_brings_whole_characters_and_ends_with_the_reason(server: RunningServer) -> None:
    response = server.request("POST", "/v1/chat/completions", {**CHAT, "stream": True})
    assert response.status == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    found = events(response.body)
    assert {event["object"] for event in found} == {"chat.completion.chunk"}
    assert len({event["id"] for event in found}) == 1
    deltas = [event["choices"][0]["delta"] for event in found]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert [delta["content"] for delta in deltas[1:-1]] == list(SAID)
    assert deltas[-1] == {}
    assert [event["choices"][0]["finish_reason"] for event in found] == [*[None] * (len(found) - 1), "stop"]


def test_a_stream_counts_its_tokens_if_asked(server: RunningServer) -> None:
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    *_, last = events(server.request("POST", "/v1/chat/completions", body).body)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == len(SAID.encode()) + 1


@pytest.mark.parametrize("name", ["<|im_end|>", "<|im_start|>system\n", "\ufdd0<|im_end|>", "<<|im_end|><|im_end|>"])
def test_the_name_of_a_special_token_in_a_message_is_text(server: RunningServer, name: str) -> None:
    def prompt_tokens(**message: Any) -> int:
        answer = server.request("POST", "/v1/chat/completions", {"messages": [message], "max_tokens": 1})
        assert answer.status == 200
        return int(answer.json()["usage"]["prompt_tokens"])

    empty = prompt_tokens(role="user", content="")
    assert prompt_tokens(role="user", content=name) == empty + len(name.encode())
    parts = [{"type": "text", "text": name}, {"type": "text", "text": "?"}]
    assert prompt_tokens(role="user", content=parts) == empty + len(name.encode()) + len("\n?")
    assert prompt_tokens(role=name, content="") == empty - len("user") + len(name.encode())


def test_the_name_of_a_special_token_in_a_prompt_is_that_token(server: RunningServer) -> None:
    body = {"prompt": "<|im_start|>user\n?<|im_end|>", "max_tokens": 1}
    assert server.request("POST", "/v1/completions", body).json()["usage"]["prompt_tokens"] == len("<user\n?<")


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\\ud800", b"\\udc00x"])
def test_a_text_that_is_no_unicode_is_refused(server: RunningServer, text: bytes) -> None:
    for path, body in (
        ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "a%s"}]}'),
        ("/v1/completions", b'{"prompt": "a%s"}'),
        ("/v1/completions", b'{"prompt": "a", "stop": "%s"}'),
        ("/v2/models/tiny/generate", b'{"text_input": "a%s"}'),
    ):
        answer = server.request("POST", path, body % text)
        assert answer.status == 400
        assert "not JSON" in answer.error or "want" in answer.error or "text_input" in answer.error


def test_a_completion_goes_on_with_the_text_or_tokens(server: RunningServer) -> None:
    whole = server.request("POST", "/v1/completions", {"prompt": "wr", "temperature": 0}).json()
    assert whole["object"] == "text_completion"
    assert whole["choices"][0]["text"] == "d!"
    tokens = server.request("POST", "/v1/completions", {"prompt": [[0, 1]], "temperature": 0}).json()
    assert tokens["choices"][0]["text"] == SAID
    assert tokens["usage"]["prompt_tokens"] == 2
    streamed = events(server.request("POST", "/v1/completions", {"prompt": "w", "temperature": 0, "stream": True}).body)
    assert "".join(event["choices"][0]["text"] for event in streamed) == "rd!"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("stop", "said", "reason"),
    [
        ("ä€", "Hi, ", "stop"),
        (["nothing", ", "], "Hi", "stop"),
        ("!\n?", SAID, "stop"),  # what could have been its beginning is let go at the end
        ("😀", "Hi, ä€", "stop"),
    ],
)
def test_a_stop_text_ends_the_answer_before_it(
    server: RunningServer, stop: Any, said: str, reason: str, stream: bool
) -> None:
    answer = server.request("POST", "/v1/chat/completions", {**CHAT, "stop": stop, "stream": stream})
    if stream:
        found = events(answer.body)
        assert "".join(event["choices"][0]["delta"].get("content", "") for event in found) == said
        assert found[-1]["choices"][0]["finish_reason"] == reason
    else:
        assert answer.json()["choices"][0]["message"]["content"] == said
        assert answer.json()["choices"][0]["finish_reason"] == reason


def test_an_answer_ends_at_the_limit_of_tokens_with_what_it_has(server: RunningServer) -> None:
    for field in ("max_tokens", "max_completion_tokens"):
        answer = server.request("POST", "/v1/chat/completions", {**CHAT, field: 5}).json()
        # the first half of a character stays a mark, and is not lost
        assert answer["choices"][0]["message"]["content"] == "Hi, \N{REPLACEMENT CHARACTER}"
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"]["completion_tokens"] == 5


def test_the_context_ends_an_answer(server: RunningServer) -> None:
    answer = server.request("POST", "/v1/completions", {"prompt": "." * (CONTEXT - 3), "temperature": 0}).json()
    assert answer["choices"][0]["text"] == "Hi,"
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("prompt", ["." * CONTEXT, "." * 100_000])
def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(server: RunningServer, prompt: str) -> None:
    answer = server.request("POST", "/v1/completions", {"prompt": prompt})
    assert answer.status == 400
    error = answer.json()["error"]
    assert str(CONTEXT) in error["message"]
    assert ("256 tokens" if len(prompt) == CONTEXT else "at least") in error["message"]
    assert (error["param"], error["type"]) == ("prompt", "invalid_request_error")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("temperature", 2.5),
        ("temperature", "hot"),
        ("top_p", 0),
        ("max_tokens", 0),
        ("stop", [""]),
        ("stop", ["x"] * 17),
        ("logprobs", True),
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("response_format", {"type": "json_object"}),
        ("frequency_penalty", 1),
        ("logit_bias", {"50": 10}),
        ("messages", []),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
        ("messages", [{"role": "assistant", "tool_calls": [{}]}]),
    ],
)
def test_a_field_that_cannot_be_obeyed_is_refused_by_its_name(server: RunningServer, field: str, value: Any) -> None:
    answer = server.request("POST", "/v1/chat/completions", {**CHAT, field: value})
    assert answer.status == 400
    error = answer.json()["error"]
    assert error["param"] == field
    assert field in error["message"]


def test_unknown_fields_and_empty_ones_are_ignored(server: RunningServer) -> None:
    more = {"user": "x", "store": False, "tools": [], "n": 1, "presence_penalty": 0, "logit_bias": {}, "seed": None}
    assert server.request("POST", "/v1/chat/completions", {**CHAT, **more}).status == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"", 400), (b"[]", 400), (b'{"prompt": "\xff"}', 400), (b'{"messages": [{"role": 1}]}', 400)],
)
def test_a_body_that_is_no_request_gets_an_error_in_openais_form(
    server: RunningServer, path: str, body: bytes, status: int
) -> None:
    answer = server.request("POST", path, body)
    assert answer.status == status
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_an_unknown_model_is_not_found(server: RunningServer) -> None:
    answer = server.request("POST", "/v1/chat/completions", {**CHAT, "model": "other"})
    assert answer.status == 404
    assert answer.json()["error"]["code"] == "model_not_found"


def test_models_are_listed_also_below_kserves_prefix(server: RunningServer) -> None:
    (model,) = server.get("/v1/models").json()["data"]
    assert (model["id"], model["object"]) == ("tiny", "model")
    assert server.get("/openai/v1/models/tiny").json() == model
    assert server.get("/v1/models/other").json()["error"]["code"] == "model_not_found"


def test_seeds_repeat_an_answer(server: RunningServer) -> None:
    hot = {"prompt": "x", "temperature": 2, "max_tokens": 20}

    def text(seed: int) -> str:
        answer = server.request("POST", "/v1/completions", {**hot, "seed": seed}).json()
        return str(answer["choices"][0]["text"])

    assert text(1) == text(1)
    assert len({text(seed) for seed in range(8)}) > 1


def test_tritons_generate_answers_whole_and_in_a_stream(server: RunningServer) -> None:
    answer = server.request("POST", "/v2/models/tiny/generate", {"text_input": "w"})
    assert answer.json() == {"model_name": "tiny", "model_version": "tiny-0123456789", "text_output": "rd!"}
    limited = {"text_input": "w", "parameters": {"max_tokens": 1, "stream": False}}
    assert server.request("POST", "/v2/models/tiny/generate", limited).json()["text_output"] == "r"
    streamed = server.request("POST", "/v2/models/tiny/generate_stream", {"text_input": "w"})
    assert streamed.headers["content-type"] == "text/event-stream; charset=utf-8"
    pieces = [json.loads(line.removeprefix("data: ")) for line in streamed.body.decode().split("\n\n") if line]
    assert [piece["text_output"] for piece in pieces] == list("rd!")
    assert "text_input" in server.request("POST", "/v2/models/tiny/generate", {"prompt": "w"}).error


def test_the_open_inference_protocol_takes_and_gives_texts(server: RunningServer) -> None:
    text = {"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["w"]}
    limit = {"name": "max_tokens", "datatype": "INT64", "shape": [1], "data": [2]}
    assert server.infer({"inputs": [text]}).json()["outputs"][0]["data"] == ["rd!"]
    assert server.infer({"inputs": [text, limit]}).json()["outputs"][0]["data"] == ["rd"]
    too_long = server.infer({"inputs": [{**text, "data": ["." * 1000]}]})
    assert too_long.status == 400
    assert "context has 256" in too_long.error


def test_generated_texts_are_no_classes(server: RunningServer) -> None:
    assert server.request("POST", "/v1/chat/completions", CHAT).status == 200
    assert b"edgemodel_predictions_total{" not in server.get("/metrics").body


def test_tokens_and_ends_are_counted(server: RunningServer) -> None:
    def counted() -> list[float]:
        return [
            server.counted("edgemodel_inference_requests_total", 'outcome="ok"'),
            server.counted("edgemodel_tokens_total", 'direction="in"'),
            server.counted("edgemodel_tokens_total", 'direction="out"'),
            server.counted("edgemodel_finished_total", 'reason="stop"'),
            server.counted("edgemodel_time_to_first_token_seconds_count"),
            server.counted("edgemodel_inter_token_seconds_count"),
        ]

    before = counted()
    for stream in (False, True):
        server.request("POST", "/v1/completions", {"prompt": "abc", "temperature": 0, "stream": stream})
    said = len(SAID.encode()) + 1
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [2, 6, 2 * said, 2, 2, 2]
    reserved = 2 * CONTEXT * 2 * 2 * 8 * 4  # sequences, tokens, key and value, heads, their size, bytes
    assert server.counted("edgemodel_cache_bytes", 'state="reserved"') == reserved
