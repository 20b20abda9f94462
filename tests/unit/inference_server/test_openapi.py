"""The OpenAPI description, compared with the running server by schemathesis: it gives only documented answers."""

from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from inference_server.listeners.http import openapi, routes
from tests.support.tiers import examples
from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import RunningServer

pytestmark = pytest.mark.slow


@pytest.fixture
def description(mlp_server: RunningServer) -> Any:
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{mlp_server.port}/openapi.json")


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name)
def test_every_answer_is_as_described(description: Any, mode: GenerationMode) -> None:
    """The requests match the description, or violate it."""
    held = 0
    for found in description.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        def hold(case: Any) -> None:
            case.call_and_validate(
                excluded_checks=[positive_data_acceptance]
            )  # the schema does not know a model's shapes

        with suppress(Unsatisfiable):  # a request without parameters and body cannot be invalid
            hold()
            held += 1
    assert held >= (7 if mode is GenerationMode.NEGATIVE else 20)


def test_every_route_is_described() -> None:
    described = {path.format(model="m", version="v") for path in openapi.document()["paths"]}
    assert all(routes.find(path) for path in described)
    rooms = ("", "/ready", "/config", "/stats", "/example", "/infer", "/feedback", "/generate", "/generate_stream")
    wanted = {f"/v2/models/m{version}{room}" for version in ("", "/versions/v") for room in rooms}
    wanted |= {f"/v2/repository/models/m/{action}" for action in ("load", "unload")}
    assert described == wanted | {
        "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models", "/v2/models/stats", "/v2/repository/index",
        "/metrics", "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/models/m",
    }  # fmt: skip


def test_a_key_is_described_where_one_is_needed() -> None:
    assert "securitySchemes" not in openapi.document()["components"]
    document = openapi.document(needs_key=True)
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    operations = {
        (path, method): operation
        for path, found in document["paths"].items()
        for method, operation in found.items()
        if method != "parameters"
    }
    open_ones = {path for (path, _), operation in operations.items() if "security" not in operation}
    assert open_ones == {"/v2/health/live", "/v2/health/ready", "/metrics"}
    assert all(("401" in operation["responses"]) == ("security" in operation) for operation in operations.values())
    assert "$ref" in operations["/v1/models", "get"]["responses"]["401"]


def test_the_answers_of_a_real_model_are_as_described(mlp_server: RunningServer, description: Any) -> None:
    body = artifacts.infer_body({"x": artifacts.samples(2)})
    answer = mlp_server.infer(body)
    assert answer.status == 200
    validate(description, "InferResponse", answer.json())
    validate(description, "InferRequest", mlp_server.get("/v2/models/tiny/example").json())
    validate(description, "Models", mlp_server.get("/v2/models").json())
    for path, name in (("", "Metadata"), ("/config", "Config"), ("/stats", "Statistics"), ("/ready", "ModelReady")):
        validate(description, name, mlp_server.get(f"/v2/models/tiny{path}").json())


def validate(description: Any, name: str, value: Any) -> None:
    import jsonschema

    components = {"components": description.raw_schema["components"]}
    jsonschema.validate(value, {"$ref": f"#/components/schemas/{name}", **components})
