"""The OpenAPI document of the API, made from the table of endpoints and their schemas."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from signaling.fal import schemas
from signaling.fal.endpoints import ENDPOINTS, Endpoint
from signaling.fal.service import FalService
from signaling.fal.surfaces import owner_and_alias

REF = "#/components/schemas/{model}"
JSON = "application/json"


class OpenApiRoute:
    """Serves the document; it does not change while the server runs."""

    def __init__(self, service: FalService) -> None:
        self._document = document()

    async def answer(self, request: Request) -> Response:
        return JSONResponse(self._document)


def document() -> dict[str, Any]:
    """OpenAPI 3.1: every endpoint run at once, and the queue of each app."""
    models: set[type[BaseModel]] = {schemas.HttpError, schemas.HttpValidationError}
    for endpoint in ENDPOINTS.values():
        models |= {endpoint.input, endpoint.output}
    named = sorted(models, key=lambda model: model.__name__)
    _, definitions = models_json_schema([(model, "validation") for model in named], ref_template=REF)
    paths: dict[str, Any] = {}
    for endpoint in ENDPOINTS.values():
        paths[f"/run/{endpoint.app}"] = {"post": _run(endpoint)}
        paths[f"/queue/{endpoint.app}"] = {"post": _submit(endpoint)}
    for app in sorted({owner_and_alias(name) for name in ENDPOINTS}):
        paths |= _requests(app)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Livemask: fal-compatible API", "version": version("livemask")},
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "Authorization"}},
        },
        "security": [{}, {"key": []}],
    }


def _run(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "operationId": f"run {endpoint.app}",
        "summary": f"Run {endpoint.app} and wait for its output",
        "requestBody": _body(endpoint.input.__name__),
        "responses": {"200": _answer("The output", endpoint.output.__name__), **_errors()},
        "x-fal-protocol": {
            "type": "realtime",
            "path": f"/{endpoint.app}/realtime",
            "contentType": "application/msgpack",
        },
    }


def _submit(endpoint: Endpoint) -> dict[str, Any]:
    webhook = {"name": "fal_webhook", "in": "query", "schema": {"type": "string", "format": "uri"}}
    return {
        "operationId": f"submit {endpoint.app}",
        "summary": f"Queue a request for {endpoint.app}",
        "parameters": [webhook],
        "requestBody": _body(endpoint.input.__name__),
        "responses": {
            "200": {"description": "Queued", "content": {JSON: {"schema": SUBMITTED}}},
            **_errors(),
        },
    }


def _requests(app: str) -> dict[str, Any]:
    base = f"/queue/{app}/requests/{{request_id}}"
    which = {"name": "request_id", "in": "path", "required": True, "schema": {"type": "string"}}
    logs = {"name": "logs", "in": "query", "schema": {"enum": ["0", "1", "true", "false"]}}
    status, cancelled = _free("The status", STATUS), _free("What came of it", CANCELLED)
    return {
        f"{base}/status": {
            "get": {
                "operationId": f"status {app}",
                "parameters": [which, logs],
                "responses": {"200": status, "202": status, **_errors()},
            }
        },
        base: {
            "get": {
                "operationId": f"result {app}",
                "parameters": [which],
                "responses": {
                    "200": {"description": "The output", "content": {JSON: {"schema": {}}}},
                    **_errors(),
                },
            }
        },
        f"{base}/cancel": {
            "put": {
                "operationId": f"cancel {app}",
                "parameters": [which],
                "responses": {"202": cancelled, "400": cancelled, "404": cancelled, **_keyed()},
            }
        },
    }


def _strings(*values: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"status": {"enum": list(values)}}, "required": ["status"]}


SUBMITTED = {
    "type": "object",
    "properties": {
        "status": {"const": "IN_QUEUE"},
        "request_id": {"type": "string"},
        "response_url": {"type": "string"},
        "status_url": {"type": "string"},
        "cancel_url": {"type": "string"},
        "queue_position": {"type": "integer"},
    },
    "required": ["status", "request_id", "response_url", "status_url", "cancel_url", "queue_position"],
}
STATUS = _strings("IN_QUEUE", "IN_PROGRESS", "COMPLETED")
CANCELLED = _strings("CANCELLATION_REQUESTED", "ALREADY_COMPLETED", "NOT_FOUND")


def _schema(model: str) -> dict[str, Any]:
    return {JSON: {"schema": {"$ref": REF.format(model=model)}}}


def _body(model: str) -> dict[str, Any]:
    return {"required": True, "content": _schema(model)}


def _answer(text: str, model: str) -> dict[str, Any]:
    return {"description": text, "content": _schema(model)}


def _free(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {JSON: {"schema": schema}}}


def _keyed() -> dict[str, Any]:
    return {
        "401": _answer("No valid key", "HttpError"),
        "403": _answer("The key lacks the scope", "HttpError"),
        "429": _answer("Too many requests", "HttpError"),
    }


def _errors() -> dict[str, Any]:
    return {
        "400": _answer("The request is wrong", "HttpError"),
        "404": _answer("There is no such thing", "HttpError"),
        "413": _answer("Too large", "HttpError"),
        "422": _answer("The input is wrong", "HttpValidationError"),
        "500": _answer("The server failed", "HttpError"),
        "504": _answer("It did not start in time", "HttpError"),
        **_keyed(),
    }
