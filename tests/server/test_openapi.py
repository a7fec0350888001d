"""The description is a valid one, and the server does what it says."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mimo_edge.server.options import ServerOptions
from mimo_edge.tasks import Overrides

from .running import running

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_every_endpoint_is_described(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    assert {"/v1/models", "/health", "/metrics", "/openapi.json"} <= described["paths"].keys()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            answer = client.request(method, path.replace("{id}", "none"))
            assert answer.status_code not in (405, 501), (path, method)
            assert operation["summary"]
            named = re.findall(r"\{(\w+)\}", path)
            assert [given["name"] for given in operation.get("parameters", [])] == named


def test_every_schema_is_valid_and_every_reference_leads_somewhere(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    for schema in schemas.values():
        jsonschema_rs.meta.validate(schema)
    text = client.get("/openapi.json").text
    for name in re.findall(r'"#/components/schemas/([^"]+)"', text):
        assert name in schemas
    assert "#/$defs" not in text


def test_the_description_says_what_needs_the_key() -> None:
    with running(ServerOptions(port=0, api_key="a-key-for-this-test")) as server:
        described = httpx.get(server.url + "/openapi.json").json()
        assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
        for path, operations in described["paths"].items():
            if (operation := operations.get("get")) and "{" not in path:
                needs = bool(operation["security"])
                assert (httpx.get(server.url + path).status_code == 401) is needs, path


def test_a_refusal_has_the_form_that_is_described(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    schema = {"$ref": "#/components/schemas/Error", "components": described["components"]}
    for answer in (client.get("/v1/nothing"), client.put("/v1/models"), client.post("/metrics")):
        assert answer.is_error
        jsonschema_rs.validate(schema, answer.json())


@pytest.mark.slow
@pytest.mark.parametrize("mode", GenerationMode)
def test_whatever_is_sent_the_server_does_not_fail(mode: GenerationMode, tmp_path: Path) -> None:
    """Made from the description: what it allows, and what it does not."""
    options = ServerOptions(port=0, voices=tmp_path, overrides=Overrides(max_new_tokens=16))
    with running(options) as server:
        schema = schemathesis.openapi.from_url(server.url + "/openapi.json")
        asked = Counter[int]()
        for found in schema.get_all_operations():
            operation = found.ok()  # type: ignore[union-attr]
            if mode is GenerationMode.NEGATIVE and not operation.body:
                continue  # nothing can be wrong about it

            @settings(max_examples=20, deadline=None, suppress_health_check=[*HealthCheck])
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: schemathesis.Case[Any]) -> None:
                answer = case.call()
                asked[answer.status_code] += 1
                if b"no_speech" in answer.content:
                    return  # the model may find nothing to say about what is no text
                case.validate_response(answer, checks=CHECKS)

            check()
        assert server.client.get("/health").json()["status"] == "ready"
    assert asked.keys() & {400, 404, 200}
