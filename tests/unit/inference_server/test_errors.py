"""The answer to an error is decided in one place, in terms that every listener has."""

from collections.abc import Iterator
from http import HTTPStatus

import grpc
import pytest

from edge_runtime.backend import RefusedInputs, RunFailure
from edgemodel import metrics
from inference_server import errors
from inference_server.errors import MAX_MESSAGE_LENGTH, Failure, RequestError, failure_of


def kinds(base: type[RequestError] = RequestError) -> Iterator[type[RequestError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


@pytest.mark.parametrize("kind", list(kinds()))
def test_every_error_has_a_status_of_http_and_of_grpc_and_an_outcome(kind: type[RequestError]) -> None:
    assert 400 <= HTTPStatus(kind.status) < 600
    assert grpc.StatusCode[kind.code] is not grpc.StatusCode.OK
    assert kind.outcome in set(metrics.OUTCOMES) - {metrics.OK}


def test_an_error_is_reported_unchanged() -> None:
    error = errors.Busy("the queue is full")
    assert failure_of(error) == Failure(503, "UNAVAILABLE", "the queue is full", metrics.SERVER_ERROR, (), 1)


def test_inputs_that_the_model_refuses_are_the_request_s_fault() -> None:
    failure = failure_of(RefusedInputs("index 3 is out of bounds"))
    assert failure == Failure(400, "INVALID_ARGUMENT", "index 3 is out of bounds", metrics.REFUSED)


@pytest.mark.parametrize("error", [RunFailure("out of memory"), ValueError("out of memory")])
def test_any_other_exception_is_the_server_s_fault(error: Exception) -> None:
    failure = failure_of(error)
    assert failure == Failure(500, "INTERNAL", "inference failed: out of memory", metrics.SERVER_ERROR)


def test_a_long_message_is_cut() -> None:
    assert len(failure_of(errors.InvalidRequest("x" * 5000)).message) == MAX_MESSAGE_LENGTH
    assert len(failure_of(ValueError("x" * 5000)).message) == MAX_MESSAGE_LENGTH
