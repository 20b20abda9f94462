"""Generation over time: clients that leave, limits, keys, and the end of the server."""

import contextlib
import http.client
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from edgemodel import metrics, reasons, serving
from tests.support.text_models import TEMPLATE, TOKENS
from tests.unit.inference_server.artifacts import with_manifest, write_text_artifact
from tests.unit.inference_server.processes import (
    AS_IN_THE_IMAGE,
    DEADLINE_SECONDS,
    RunningServer,
    serving_process,
    until,
)

pytestmark = pytest.mark.slow

LONG = 100_000
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "?"}], "temperature": 0, "stream": True}


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """Returns a model that never ends its answer."""
    return write_text_artifact(tmp_path / "m", "abc", endless=True, context=LONG)


LIMITS = ("--context-tokens", str(LONG), "--max-new-tokens", str(LONG), "--max-stream-seconds", "3600")


@contextlib.contextmanager
def stream(server: RunningServer) -> Iterator[http.client.HTTPResponse]:
    """Yields a stream that has begun; the client leaves at the end."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/chat/completions", json.dumps(CHAT))
        response = connection.getresponse()
        assert response.status == 200
        assert response.readline().startswith(b"data: ")
        yield response
        response.close()


def finished(server: RunningServer, reason: str) -> float:
    return server.counted("edgemodel_finished_total", f'reason="{reason}"')


def test_a_client_that_leaves_frees_its_place_at_once(endless: Path) -> None:
    with serving_process(endless, *LIMITS, "--sequences", "1", "--queue-length", "0") as server:
        with stream(server):
            busy = server.request("POST", "/v1/chat/completions", CHAT)
        until(lambda: finished(server, "cancelled") == 1, "the sequence is cancelled")
        assert server.counted("edgemodel_cache_bytes", 'state="used"') == 0
        with stream(server):
            pass
    assert busy.status == 429
    assert busy.headers["retry-after"] == "1"
    error = busy.json()["error"]
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert "1 sequences are generated or wait, limit 1" in error["message"]


def test_a_client_that_leaves_while_it_waits_makes_room(endless: Path) -> None:
    with serving_process(endless, *LIMITS, "--sequences", "1", "--queue-length", "1") as server, stream(server):
        waiting = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
        waiting.request("POST", "/v1/chat/completions", json.dumps(CHAT))
        full = {"messages": CHAT["messages"], "max_tokens": 1}
        until(lambda: server.request("POST", "/v1/chat/completions", full).status == 429, "the queue is full")
        waiting.close()
        until(lambda: finished(server, "cancelled") == 1, "the sequence that waits is cancelled")


def test_it_answers_with_what_the_image_has(tmp_path: Path) -> None:
    folder = write_text_artifact(tmp_path / "m", "abcdefgh")
    sampled = {"messages": CHAT["messages"], "temperature": 1, "top_p": 0.5, "seed": 3, "stop": ["h"]}
    with serving_process(folder, "inference_server", module=AS_IN_THE_IMAGE) as server:
        assert server.request("POST", "/v1/chat/completions", CHAT).body.endswith(b"data: [DONE]\n\n")
        answer = server.request("POST", "/v1/chat/completions", sampled)
    assert answer.json()["choices"][0]["message"]["content"] == "abcdefg"


def test_an_answer_ends_at_the_limit_of_time(endless: Path) -> None:
    with serving_process(endless, *LIMITS[:4], "--max-stream-seconds", "1") as server:
        body = server.request("POST", "/v1/chat/completions", CHAT).body
        assert b'"finish_reason":"length"' in body
        assert body.endswith(b"data: [DONE]\n\n")
        assert finished(server, "time") == 1


def test_a_stream_that_outlasts_the_drain_ends_with_a_reason(endless: Path) -> None:
    with serving_process(endless, *LIMITS, "--drain-seconds", "3") as server:
        with stream(server) as response:
            server.terminate()
            rest = response.read()
        assert b'"finish_reason":"length"' in rest
        assert rest.endswith(b"data: [DONE]\n\n")
        assert server.wait_end() == 0
        assert server.wait_for_event("ended")
        assert {"cut": 1}.items() <= next(line for line in server.log if "cut" in line).items()


def test_a_short_stream_is_whole_after_the_signal(tmp_path: Path) -> None:
    folder = write_text_artifact(tmp_path / "m", "abcdefgh")
    with serving_process(folder) as server, stream(server) as response:
        server.terminate()
        assert b"stop" in response.read()
        assert server.wait_end() == 0


def test_a_stream_that_breaks_after_its_status_is_a_server_error_by_which_a_candidate_is_judged(tmp_path: Path) -> None:
    """The model has no embedding of the token that it says last but one."""
    folder = write_text_artifact(tmp_path / "m", "abcd")
    model = onnx.load(folder / "model.onnx")
    (embedding,) = (each for each in model.graph.initializer if each.name == "embedding")
    rows = onnx.numpy_helper.to_array(embedding)[: TOKENS["c"]]
    embedding.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(rows), "embedding"))
    onnx.save(model, folder / "model.onnx")
    with serving_process(with_manifest(folder), "--warm-up-seconds", "0") as server:
        answer = server.request("POST", "/v1/completions", {"prompt": "a", "temperature": 0, "stream": True})
        assert answer.status == 200
        assert b'"text":"b"' in answer.body
        assert b'"error"' in answer.body
        outcomes = {each: server.counted(metrics.REQUESTS_TOTAL, f'outcome="{each}"') for each in metrics.OUTCOMES}
        assert outcomes == {**dict.fromkeys(metrics.OUTCOMES, 0), metrics.SERVER_ERROR: 1}
        assert finished(server, metrics.ERROR) == 1


def test_the_objectives_of_analysis_are_edges_of_the_histograms(tmp_path: Path) -> None:
    objectives = {
        serving.FIRST_TOKEN_OBJECTIVE_MILLISECONDS: "1234",
        serving.INTER_TOKEN_OBJECTIVE_MILLISECONDS: "56.7",
    }
    with serving_process(write_text_artifact(tmp_path / "m", "abc"), environment=objectives) as server:
        assert server.request("POST", "/v1/chat/completions", CHAT).status == 200
        told = server.get("/metrics").body.decode()
    assert 'le="1.234"' in told
    assert 'le="0.0567"' in told


def test_many_streams_are_all_answered(tmp_path: Path) -> None:
    number = 1000
    folder = write_text_artifact(tmp_path / "m", "abc")
    with serving_process(folder, "--queue-length", str(number)) as server:
        body = json.dumps(CHAT).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(server.connect()) for _ in range(number)]
            for client in clients:
                client.sendall(head % len(body) + body)
            for client in clients:
                answer = b""
                while data := client.recv(65536):
                    answer += data
                assert answer.startswith(b"HTTP/1.1 200")
                assert b"data: [DONE]" in answer
        assert finished(server, "stop") == number


def test_streams_beyond_the_limits_are_refused_and_all_make_room_again(endless: Path) -> None:
    number = 1000
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    body = json.dumps(CHAT).encode()

    def resident_bytes(server: RunningServer) -> int:
        told = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
        return int(told) * os.sysconf("SC_PAGE_SIZE")

    limits = ("--context-tokens", "256", "--max-new-tokens", "200", *LIMITS[4:], "--timeout-seconds", "3600")
    with serving_process(endless, *limits, "--sequences", "2", "--queue-length", "50") as server:
        with stream(server):
            before = resident_bytes(server)
        for _ in range(2):  # what one thousand takes, the next does not take again
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(server.connect()) for _ in range(number)]
                for client in clients:
                    client.sendall(head % len(body) + body)
                statuses = [int(client.recv(12).split()[1]) for client in clients]
            assert set(statuses) == {200, 429}
            until(lambda: server.counted("edgemodel_cache_bytes", 'state="used"') == 0, "all places are free")
        with stream(server):
            pass
        assert resident_bytes(server) - before < 64 * 2**20


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[tuple[RunningServer, Path]]:
    """Yields a server whose clients have to show a key, and the file with it."""
    keys = tmp_path / "keys"
    keys.write_text("first\n")
    with serving_process(write_text_artifact(tmp_path / "m", "abc"), "--api-key-file", str(keys)) as server:
        yield server, keys


def test_nobody_without_a_key_is_served(keyed: tuple[RunningServer, Path]) -> None:
    server, _ = keyed
    for headers in ({}, {"Authorization": "first"}, {"Authorization": "Bearer firs"}, {"Authorization": "Bearer "}):
        for path in ("/v1/chat/completions", "/v1/completions", "/v2/models/tiny/generate", "/v2/models/tiny/infer"):
            refused = server.request("POST", path, b"{}", headers)
            assert refused.status == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        for path in ("/v1/models", "/v2/models/tiny"):
            assert server.request("GET", path, headers=headers).status == 401
    for path in ("/v2/health/live", "/v2/health/ready", "/metrics"):
        assert server.get(path).status == 200
    chat = {**CHAT, "stream": False}
    assert server.request("POST", "/v1/chat/completions", chat, {"Authorization": "Bearer first"}).status == 200


def test_a_key_that_changes_is_taken_up(keyed: tuple[RunningServer, Path]) -> None:
    server, keys = keyed

    def status(key: str) -> int:
        return server.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"}).status

    other = keys.with_name("other")
    other.write_text("first\nsecond\n")
    os.replace(other, keys)
    assert [status("first"), status("second")] == [200, 200]
    keys.write_text("second")
    assert [status("first"), status("second")] == [401, 200]
    keys.unlink()
    assert [status("first"), status("second")] == [401, 200]
    keys.write_text("\n")
    assert [status("second"), status("")] == [401, 401]


def test_a_client_that_sends_a_key_is_served_where_none_is_set(tmp_path: Path) -> None:
    with serving_process(write_text_artifact(tmp_path / "m", "abc")) as server:
        assert server.request("GET", "/v1/models", headers={"Authorization": "Bearer any"}).status == 200


def test_a_server_without_a_readable_key_does_not_start(tmp_path: Path) -> None:
    folder = write_text_artifact(tmp_path / "m", "abc")
    for content in (None, "\n"):
        keys = tmp_path / "keys"
        if content is not None:
            keys.write_text(content)
        server = RunningServer(folder, "--api-key-file", str(keys))
        assert server.wait_end() == 1
        assert str(keys) in server.wait_for_event("cannot start")["error"]


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "processor time"),
        ("{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}", "memory"),
        ("{% for", "line 1"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ nothing.at.all }}", "undefined"),
    ],
)
def test_a_template_that_cannot_be_used_ends_the_server_with_its_reason(
    tmp_path: Path, template: str, told: str
) -> None:
    folder = write_text_artifact(tmp_path / "m", "abc", template=template)
    termination = tmp_path / "termination"
    termination.touch()
    server = RunningServer(folder, "--termination-log", str(termination))
    assert server.wait_end() == serving.EXIT_MODEL
    reason, message = serving.parse_ending(termination.read_text()) or ("", "")
    assert reason == reasons.MODEL_LOAD_FAILED
    assert "chat template" in message
    assert told in message


REFUSING = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TEMPLATE
)
KNOWING = (
    "{% for m in messages %}{% if m.role in ('system', 'user', 'assistant') %}{{ m.role }}:{{ m.content }};{% endif %}"
    "{% endfor %}assistant:"
)


def chat(server: RunningServer, *messages: tuple[str, str]) -> Any:
    said = [{"role": role, "content": content} for role, content in messages]
    return server.request("POST", "/v1/chat/completions", {"messages": said, "temperature": 0})


def test_what_a_template_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    with serving_process(write_text_artifact(tmp_path / "m", "abc", template=REFUSING)) as server:
        refused = chat(server, ("system", "be kind"), ("user", "?"))
        assert refused.status == 400
        assert "System role not supported" in refused.json()["error"]["message"]
        assert chat(server, ("user", "?")).status == 200


def test_no_message_is_lost_on_its_way_to_the_prompt(tmp_path: Path) -> None:
    with serving_process(write_text_artifact(tmp_path / "m", "abc", template=KNOWING)) as server:
        as_system = chat(server, ("system", "be kind"), ("user", "?")).json()["usage"]["prompt_tokens"]
        as_developer = chat(server, ("developer", "be kind"), ("user", "?")).json()["usage"]["prompt_tokens"]
        assert as_system == as_developer == len("system:be kind;user:?;assistant:")
        for content in ("42", "user"):  # the second is in the prompt all the same
            lost = chat(server, ("tool", content), ("user", "?"))
            assert lost.status == 400
            assert "'tool'" in lost.json()["error"]["message"]


def test_a_template_may_change_the_words_of_a_message(tmp_path: Path) -> None:
    loud = "{% for m in messages %}{{ m.content | upper | trim }};{% endfor %}"
    with serving_process(write_text_artifact(tmp_path / "m", "abc", template=loud)) as server:
        answer = chat(server, ("user", " be quiet "), ("user", ""))
        assert answer.json()["usage"]["prompt_tokens"] == len("BE QUIET;;")


def test_a_model_without_a_template_continues_texts_alone(tmp_path: Path) -> None:
    with serving_process(write_text_artifact(tmp_path / "m", "abc", template=None)) as server:
        refused = chat(server, ("user", "?"))
        assert refused.status == 400
        assert "/v1/completions" in refused.json()["error"]["message"]
        assert server.request("POST", "/v1/completions", {"prompt": "a", "temperature": 0}).status == 200


def test_tokens_without_a_name_are_never_chosen(tmp_path: Path) -> None:
    with serving_process(write_text_artifact(tmp_path / "m", "abc", nameless=29)) as server:
        assert chat(server, ("user", "?")).json()["choices"][0]["message"]["content"] == "abc"


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = write_text_artifact(tmp_path / "m", "abc")
    config = json.loads((folder / "tokenizer.json").read_text())
    config["model"]["vocab"]["more"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(config))
    server = RunningServer(folder)
    error = server.wait_for_event("the model cannot be served")["error"]
    assert "5000" in error
    assert "259" in error
    assert server.wait_end() == serving.EXIT_MODEL
