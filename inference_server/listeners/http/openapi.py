"""The OpenAPI description of the server's HTTP interface, at ``/openapi.json``. Pure."""

from typing import Any

from edge_runtime.datatypes import DATATYPES
from edgemodel.version import VERSION
from inference_server.models.feedback import MAX_TEXT_LENGTH

Json = dict[str, Any]


def document() -> Json:
    """Returns the OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edgemodel inference server",
            "version": VERSION,
            "description": (
                "The Open Inference Protocol v2 with its extensions for binary tensor data, repositories, configuration"
                " and statistics, and feedback."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(),
        "components": {"schemas": _schemas(), "responses": _responses()},
    }


def _paths() -> Json:
    model = [_parameter("model", "Name of a model of this server.")]
    version = [*model, _parameter("version", "Its revision.")]
    paths: Json = {
        "/v2": _get("server", "The name, version and extensions of the server.", _ref("Server")),
        "/v2/health/live": _get("live", "Answers while the process runs.", _object(live={"const": True})),
        "/v2/health/ready": _get("ready", "Answers whether all models serve.", _object(ready={"const": True}), "503"),
        "/v2/models": _get("models", "The names of all models.", _ref("Models")),
        "/v2/models/stats": _get("allStatistics", "Statistics of all models.", _ref("Statistics")),
        "/v2/repository/index": _post("index", "The models and their states.", _ref("IndexRequest"), _ref("Index")),
        "/metrics": {
            "get": {
                "operationId": "metrics",
                "summary": "The metrics, for Prometheus.",
                "responses": {
                    "200": {"description": "metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
                },
            }
        },
    }
    for action in ("load", "unload"):
        operation = _post(action, f"To {action} a model.", _ref("LoadRequest"), {"type": "object"}, "404")
        paths[f"/v2/repository/models/{{model}}/{action}"] = {"parameters": model, **operation}
    for root, parameters in (("/v2/models/{model}", model), ("/v2/models/{model}/versions/{version}", version)):
        suffix = "OfVersion" if parameters is version else ""
        for path, operation in _of_model(suffix).items():
            paths[f"{root}{path}"] = {"parameters": parameters, **operation}
    return paths


def _of_model(suffix: str) -> Json:
    infer = _post(
        f"infer{suffix}", "An inference.", _ref("InferRequest"), _ref("InferResponse"), "404", "413", "415", "503"
    )
    binary = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
    infer["post"]["responses"]["200"]["content"]["application/octet-stream"] = binary
    infer["post"]["parameters"] = [
        {
            "name": "Inference-Header-Content-Length",
            "in": "header",
            "description": "Bytes of the JSON at the beginning of a binary body; 0: the body is the only input.",
            "schema": {"type": "integer", "minimum": 0},
        }
    ]
    feedback = _post(
        f"feedback{suffix}",
        "Labels of an earlier request.",
        _ref("Feedback"),
        _ref("Judged"),
        "404",
        "413",
        "415",
        "503",
    )
    return {
        "": _get(f"metadata{suffix}", "Its tensors.", _ref("Metadata"), "400", "404"),
        "/ready": _get(f"modelReady{suffix}", "Answers whether the model serves.", _ref("ModelReady"), "400", "404"),
        "/config": _get(f"config{suffix}", "Its configuration.", _ref("Config"), "400", "404"),
        "/stats": _get(f"statistics{suffix}", "Its statistics.", _ref("Statistics"), "400", "404"),
        "/example": _get(
            f"example{suffix}", "An infer request that matches the model.", _ref("InferRequest"), "400", "404"
        ),
        "/infer": infer,
        "/feedback": feedback,
    }


def _get(name: str, summary: str, schema: Json, *errors: str) -> Json:
    return {"get": {"operationId": name, "summary": summary, "responses": _answers(schema, *errors)}}


def _post(name: str, summary: str, request: Json, schema: Json, *errors: str) -> Json:
    body = {"required": True, "content": {"application/json": {"schema": request}}}
    answers = _answers(schema, "400", *errors)
    return {"post": {"operationId": name, "summary": summary, "requestBody": body, "responses": answers}}


def _answers(schema: Json, *errors: str) -> Json:
    good = {"description": "done", "content": {"application/json": {"schema": schema}}}
    return {"200": good, **{status: {"$ref": f"#/components/responses/{status}"} for status in errors}}


def _responses() -> Json:
    told = {
        "400": "The request is wrong, or the model is not ready; the message says what to change.",
        "404": "There is no such model, version or prediction.",
        "413": "The body is too large.",
        "415": "The content coding is neither gzip nor deflate.",
        "503": "Retry later: the models are loading, the queue is full, or the request waited too long.",
    }
    content = {"application/json": {"schema": _ref("Error")}}
    return {status: {"description": text, "content": content} for status, text in told.items()}


def _schemas() -> Json:
    size = {"type": "integer", "minimum": 0}
    text: Json = {"type": "string"}
    parameters = {"type": "object"}
    tensor = {"name": text, "datatype": {"enum": sorted(DATATYPES)}}
    data: Json = {"type": "array"}
    described = _object(name=text, datatype=tensor["datatype"], shape=_list({"type": "integer", "minimum": -1}))
    configured = _object(name=text, data_type=text, dims=_list({"type": "integer"}))
    duration = _object(count=size, ns=size)
    label = {"type": ["integer", "string"]}
    return {
        "Error": _object(error=text),
        "Server": _object(name=text, version=text, extensions=_list(text)),
        "Models": _object(models=_list(text)),
        "Metadata": _object(
            name=text, versions=_list(text), platform=text, inputs=_list(described), outputs=_list(described)
        ),
        "ModelReady": _object(name=text, ready={"const": True}),
        "Config": _object(
            name=text, platform=text, max_batch_size=size, input=_list(configured), output=_list(configured)
        ),
        "Statistics": _object(
            model_stats=_list(
                _object(
                    name=text,
                    version=text,
                    last_inference=size,
                    inference_count=size,
                    execution_count=size,
                    inference_stats={"type": "object", "additionalProperties": duration},
                    batch_stats=data,
                )
            )
        ),
        "InferRequest": _with(
            _object(inputs=_list(_with(_object(**tensor, shape=_list(size)), parameters=parameters, data={}))),
            id=text,
            parameters=_with(
                parameters, binary_data_output={"type": "boolean"}, timeout={**size, "description": "microseconds"}
            ),
            outputs=_list(_with(_object(name=text), parameters=_with(parameters, binary_data={"type": "boolean"}))),
        ),
        "InferResponse": _with(
            _object(
                model_name=text,
                model_version=text,
                outputs=_list(_with(_object(**tensor, shape=_list(size)), parameters=parameters, data=data)),
            ),
            id=text,
        ),
        "IndexRequest": _with({"type": "object"}, ready={"type": "boolean"}),
        "Index": _list(
            _object(name=text, version=text, state={"enum": ["READY", "LOADING", "UNAVAILABLE"]}, reason=text)
        ),
        "LoadRequest": _with({"type": "object"}, parameters=parameters),
        "Feedback": _object(id={"type": "string", "maxLength": MAX_TEXT_LENGTH}, labels=_list(label)),
        "Judged": _object(model_name=text, model_version=text, right=size, wrong=size),
    }


def _parameter(name: str, text: str) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": text,
        "schema": {"type": "string", "minLength": 1},
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _with(schema: Json, **optional: Json) -> Json:
    return {**schema, "properties": {**schema.get("properties", {}), **optional}}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}
