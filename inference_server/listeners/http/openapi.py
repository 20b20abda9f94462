"""The OpenAPI description of the server's HTTP interface, at ``/openapi.json``. Pure."""

from typing import Any

from edge_runtime.datatypes import DATATYPES
from edgemodel.version import VERSION
from inference_server.listeners.http import routes
from inference_server.models.feedback import MAX_TEXT_LENGTH
from inference_server.protocol.openai import FINISH_REASONS, MAX_STOPS

Json = dict[str, Any]
_KEY = "key"
_EVENTS: Json = {"text/event-stream": {"schema": {"type": "string"}}}


def document(*, needs_key: bool = False) -> Json:
    """Returns the OpenAPI 3.1 document; ``needs_key`` is True if clients have to show a key."""
    paths = _paths()
    components: Json = {"schemas": _schemas(), "responses": _responses()}
    if needs_key:
        components["securitySchemes"] = {_KEY: {"type": "http", "scheme": "bearer"}}
        for path, operations in paths.items():
            for method in operations.keys() & {"get", "post"}:
                _ask_for_key(path, operations[method])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edgemodel inference server",
            "version": VERSION,
            "description": (
                "The Open Inference Protocol v2 with its extensions for binary tensor data, repositories, configuration"
                " and statistics, feedback, and text: OpenAI's interface, also below /openai, and Triton's."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": components,
    }


def _ask_for_key(path: str, operation: Json) -> None:
    """Adds to ``operation`` that it needs a key, and how it answers without; an open one needs none."""
    route = routes.find(path)
    if route is None or route.endpoint in routes.OPEN:
        return
    operation["security"] = [{_KEY: []}]
    status = "OpenAI401" if route.endpoint in routes.OF_OPENAI else "401"
    operation["responses"]["401"] = {"$ref": f"#/components/responses/{status}"}


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
        "/v1/chat/completions": _of_text("chat", "The answer in a conversation.", _ref("Chat"), _ref("ChatAnswer")),
        "/v1/completions": _of_text("complete", "What continues a text.", _ref("Completion"), _ref("CompletionAnswer")),
        "/v1/embeddings": _of_openai("embed", "The vectors of texts.", _ref("Embedding"), _ref("Vectors")),
        "/v1/models": _get("openAiModels", "The models that serve.", _ref("OpenAiModels")),
        "/v1/models/{model}": {
            "parameters": model,
            "get": {
                "operationId": "openAiModel",
                "summary": "A model that serves.",
                "responses": _answers(_ref("OpenAiModel")) | _openai_errors("400", "404"),
            },
        },
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
    errors = ("404", "413", "415", "429", "503")
    generate = _post(f"generate{suffix}", "What continues a text.", _ref("Generate"), _ref("Generated"), *errors)
    stream = _post(f"generateStream{suffix}", "The same, as events.", _ref("Generate"), _ref("Generated"), *errors)
    stream["post"]["responses"]["200"]["content"] = _EVENTS
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
        "/generate": generate,
        "/generate_stream": stream,
    }


def _of_text(name: str, summary: str, request: Json, schema: Json) -> Json:
    """Returns an operation of OpenAI's interface that sends a whole answer, or events."""
    operation = _of_openai(name, summary, request, schema)
    operation["post"]["responses"]["200"]["content"] |= _EVENTS
    return operation


def _of_openai(name: str, summary: str, request: Json, schema: Json) -> Json:
    operation = _post(name, summary, request, schema)
    operation["post"]["responses"] |= _openai_errors("400", "404", "413", "415", "429", "503")
    return operation


def _openai_errors(*statuses: str) -> Json:
    return {status: {"$ref": f"#/components/responses/OpenAI{status}"} for status in statuses}


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
        "401": "No key is shown, or a wrong one.",
        "400": "The request is wrong, or the model is not ready; the message says what to change.",
        "404": "There is no such model, version or prediction.",
        "413": "The body is too large.",
        "415": "The content coding is neither gzip nor deflate.",
        "429": "Retry later: too many sequences are generated or wait.",
        "503": "Retry later: the models are loading, the queue is full, or the request waited too long.",
    }
    forms = {"": "Error", "OpenAI": "OpenAiError"}
    return {
        f"{form}{status}": {"description": text, "content": {"application/json": {"schema": _ref(schema)}}}
        for form, schema in forms.items()
        for status, text in told.items()
    }


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
        **_text_schemas(),
        "Judged": _object(model_name=text, model_version=text, right=size, wrong=size),
    }


def _text_schemas() -> Json:
    """Returns the schemas of generation; fields that are not named are ignored, as clients send many."""
    text: Json = {"type": "string"}
    count = {"type": "integer", "minimum": 0}
    either = {"type": ["string", "array"]}
    choices: Json = {
        "max_tokens": {"type": ["integer", "null"], "minimum": 1},
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
        "top_p": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
        "seed": {"type": ["integer", "null"]},
        "stop": {"type": ["string", "array", "null"], "items": text, "maxItems": MAX_STOPS},
    }
    asked: Json = {
        "model": {"type": ["string", "null"], "description": "the first model if not given"},
        **choices,
        "stream": {"type": ["boolean", "null"]},
        "stream_options": _with({"type": ["object", "null"]}, include_usage={"type": "boolean"}),
    }
    usage = _with(_object(prompt_tokens=count, total_tokens=count), completion_tokens=count)
    finish = {"enum": sorted(set(FINISH_REASONS.values()))}
    message = _object(role=text, content={"type": ["string", "array"]})
    answer = {"id": text, "object": text, "created": count, "model": text, "usage": usage}
    listed = _object(id=text, object={"const": "model"}, created=count, owned_by=text)
    return {
        "OpenAiError": _object(error=_object(message=text, type=text, param={"type": ["string", "null"]})),
        "OpenAiModel": listed,
        "OpenAiModels": _object(object={"const": "list"}, data=_list(listed)),
        "Chat": _with(
            _object(messages={**_list(message), "minItems": 1}),
            **asked,
            max_completion_tokens=choices["max_tokens"],
        ),
        "ChatAnswer": _object(
            **answer,
            choices=_list(_object(index=count, message=_object(role=text, content=text), finish_reason=finish)),
        ),
        "Completion": _with(_object(prompt=either), **asked),
        "CompletionAnswer": _object(**answer, choices=_list(_object(index=count, text=text, finish_reason=finish))),
        "Embedding": _with(
            _object(input=either),
            model=asked["model"],
            encoding_format={"enum": ["float", "base64", None]},
        ),
        "Vectors": _object(
            object={"const": "list"},
            data=_list(_object(object=text, index=count, embedding=either)),
            model=text,
            usage=usage,
        ),
        "Generate": _with(
            _object(text_input=text),
            max_tokens=choices["max_tokens"],
            temperature=choices["temperature"],
            top_p=choices["top_p"],
            random_seed=choices["seed"],
            stop_words=choices["stop"],
            parameters={"type": ["object", "null"], "description": "The same fields, which may stand here as well."},
        ),
        "Generated": _object(model_name=text, model_version=text, text_output=text),
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
