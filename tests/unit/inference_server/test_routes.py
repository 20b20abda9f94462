"""Every endpoint of the HTTP interface has its paths, and other paths have no route."""

import pytest

from inference_server.listeners.http.routes import Endpoint, Route, find, infer_paths

ROUTES = {
    "/openapi.json": Route(Endpoint.OPENAPI),
    "/metrics": Route(Endpoint.METRICS),
    "/v2": Route(Endpoint.SERVER),
    "/v2/health/live": Route(Endpoint.LIVE),
    "/v2/health/ready": Route(Endpoint.READY),
    "/v2/repository/index": Route(Endpoint.INDEX),
    "/v2/repository/models/m/load": Route(Endpoint.LOAD, "m"),
    "/v2/repository/models/m/unload": Route(Endpoint.UNLOAD, "m"),
    "/v2/models": Route(Endpoint.MODELS),
    "/v2/models/stats": Route(Endpoint.ALL_STATISTICS),
    "/v2/models/m": Route(Endpoint.MODEL, "m"),
    "/v2/models/m/ready": Route(Endpoint.MODEL_READY, "m"),
    "/v2/models/m/config": Route(Endpoint.CONFIG, "m"),
    "/v2/models/m/stats": Route(Endpoint.STATISTICS, "m"),
    "/v2/models/m/example": Route(Endpoint.EXAMPLE, "m"),
    "/v2/models/m/infer": Route(Endpoint.INFER, "m"),
    "/v2/models/m/feedback": Route(Endpoint.FEEDBACK, "m"),
    "/v2/models/m/replay": Route(Endpoint.REPLAY, "m"),
    "/v2/models/m/generate": Route(Endpoint.GENERATE, "m"),
    "/v2/models/m/generate_stream": Route(Endpoint.GENERATE_STREAM, "m"),
    "/v1/chat/completions": Route(Endpoint.CHAT),
    "/v1/completions": Route(Endpoint.COMPLETION),
    "/v1/models": Route(Endpoint.OPENAI_MODELS),
    "/v1/models/m": Route(Endpoint.OPENAI_MODEL, "m"),
    "/v1/embeddings": Route(Endpoint.EMBEDDING),
    "/openai/v1/models": Route(Endpoint.OPENAI_MODELS),
}


def test_the_table_has_every_endpoint() -> None:
    assert {route.endpoint for route in ROUTES.values()} == set(Endpoint)


@pytest.mark.parametrize("path", ROUTES)
def test_a_path_leads_to_its_endpoint(path: str) -> None:
    assert find(path) == ROUTES[path]


@pytest.mark.parametrize("path", [path for path, route in ROUTES.items() if path.startswith("/v2/models/m")])
def test_a_path_of_a_model_may_name_its_version(path: str) -> None:
    versioned = path.replace("/v2/models/m", "/v2/models/m/versions/7", 1)
    assert find(versioned) == Route(ROUTES[path].endpoint, "m", "7")


def test_a_superfluous_slash_changes_nothing() -> None:
    for path in ROUTES:
        assert find(f"{path}/") == ROUTES[path]


def test_the_infer_paths_of_a_model_lead_to_it() -> None:
    assert [find(path) for path in infer_paths("m", "7")] == [
        Route(Endpoint.INFER, "m"),
        Route(Endpoint.INFER, "m", "7"),
    ]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v1",
        "/v2/health",
        "/v2/models/m/inference",
        "/v2/models/m/versions",
        "/v2/repository/models/m/delete",
        "x/v2",
    ],
)
def test_another_path_has_no_route(path: str) -> None:
    assert find(path) is None


@pytest.mark.parametrize("endpoint", Endpoint)
def test_what_changes_or_computes_something_takes_post_only(endpoint: Endpoint) -> None:
    posts = {Endpoint.INFER, Endpoint.FEEDBACK, Endpoint.INDEX, Endpoint.LOAD, Endpoint.UNLOAD}
    posts |= {Endpoint.GENERATE, Endpoint.GENERATE_STREAM, Endpoint.CHAT, Endpoint.COMPLETION, Endpoint.EMBEDDING}
    assert Route(endpoint).allowed == (("POST",) if endpoint in posts else ("GET", "HEAD"))
