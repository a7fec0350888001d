"""The description of all endpoints, as OpenAPI 3.1: for people, generators of clients, fuzzers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .options import ServerOptions
from .requests.endpoint import Endpoint
from .requests.parameters import Parameters
from .requests.streaming import EVENTS

__all__ = ["describe", "endpoint"]

_REFERENCE = "#/components/schemas/{model}"
_ABOUT = (
    "MiMo-Audio on this machine, as programs for OpenAI's API expect it. Besides these endpoints "
    "there is the websocket /v1/realtime (OpenAI's Realtime protocol), which OpenAPI has no words "
    "for. Parameters that are not named here have no effect."
)

_Key = tuple[type[BaseModel], Literal["validation", "serialization"]]
_References = Mapping[Any, Mapping[str, Any]]
"""`_Key` → the reference to its schema."""


class ErrorObject(BaseModel):
    """Why a request was not answered."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(BaseModel):
    """What every refusal holds."""

    error: ErrorObject


def endpoint(options: ServerOptions, every: Sequence[Endpoint]) -> Endpoint:
    """The one that gives the description, of `every` other one and of itself."""

    async def description(request: Request) -> Response:
        return JSONResponse(described)

    own = Endpoint(
        method="GET",
        path="/openapi.json",
        summary="This description",
        handler=description,
        public=True,
    )
    described = describe(options, [*every, own])
    return own


def describe(options: ServerOptions, every: Sequence[Endpoint]) -> dict[str, Any]:
    """The description of endpoints."""
    references, schemas = _schemas(every)
    paths: dict[str, dict[str, Any]] = {}
    for one in every:
        operation = _operation(one, references, schemas, keyed=options.api_key is not None)
        paths.setdefault(one.path, {})[one.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "mimo_edge", "version": _version(), "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Error": {
                    "description": "Why it was not answered, in one sentence.",
                    "content": _json(references[Error, "serialization"]),
                }
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(every: Sequence[Endpoint]) -> tuple[_References, dict[str, Any]]:
    """(reference of each model by what it is for, all models by name)."""
    models: set[_Key] = {(Error, "serialization")}
    for one in every:
        if one.body is not None:
            models.add((one.body, "validation"))
        for answer in one.answers.values():
            if isinstance(answer, type):
                models.add((answer, "serialization"))
    ordered = sorted(models, key=lambda key: (key[0].__module__, key[0].__qualname__, key[1]))
    references, together = models_json_schema(ordered, ref_template=_REFERENCE)
    return references, together.get("$defs", {})


def _operation(
    one: Endpoint, references: _References, schemas: Mapping[str, Any], *, keyed: bool
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": one.summary,
        "operationId": re.sub(r"\W+", "_", f"{one.method.lower()} {one.path}").strip("_"),
        "security": [{"key": []}] if keyed and not one.public else [],
        "responses": {
            str(one.status): {
                "description": "It was done.",
                # Of events a schema would be that of the whole stream to some, of one to others.
                "content": {
                    kind: {} if kind == EVENTS else {"schema": _answer(answer, references)}
                    for kind, answer in one.answers.items()
                },
            },
            "4XX": {"$ref": "#/components/responses/Error"},
            "5XX": {"$ref": "#/components/responses/Error"},
        },
    }
    names = re.findall(r"\{(\w+)", one.path)
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
    if one.body is not None or one.files:
        operation["requestBody"] = {"required": True, "content": _body(one, references, schemas)}
        refused = _refused(one.body)
        if refused:
            operation["description"] = refused
    return operation


def _body(one: Endpoint, references: _References, schemas: Mapping[str, Any]) -> dict[str, Any]:
    schema = dict(references[one.body, "validation"]) if one.body is not None else {}
    if not one.files:
        return {one.body_type: {"schema": schema}}
    # Written out with its files: a form of two halves (`allOf`) is beyond many a generator.
    texts: dict[str, Any] = {"type": "object"}
    if schema:
        texts = schemas[schema["$ref"].rpartition("/")[2]]
    files = {name: {"type": "string", "format": "binary"} for name in one.files}
    whole = {
        **texts,
        "properties": {**texts.get("properties", {}), **files},
        "required": [*texts.get("required", []), *files],
    }
    return {"multipart/form-data": {"schema": whole}}


def _answer(
    answer: type[BaseModel] | Mapping[str, Any] | None,
    references: _References,
) -> dict[str, Any]:
    if isinstance(answer, type):
        return dict(references[answer, "serialization"])
    return dict(answer or {})


def _refused(body: type[BaseModel] | None) -> str:
    """What is said of parameters that are refused."""
    if body is None or not issubclass(body, Parameters) or not body.misleading:
        return ""
    lines = (f"- `{name}`: {why}" for name, why in body.misleading.items())
    return "Refused, because it would be relied on in vain:\n\n" + "\n".join(lines)


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": dict(schema)}}


def _version() -> str:
    try:
        return version("mimo-edge")
    except PackageNotFoundError:  # a checkout
        return "0"
