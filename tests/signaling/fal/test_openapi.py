"""The server keeps to the document that it publishes, whatever it is sent."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from harness import Server
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from signaling.fal.endpoints import ENDPOINTS

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


QUICK = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_answers_are_as_documented(server: Server, mode: GenerationMode) -> None:
    """To inputs that keep to the document, and to those that do not."""
    document = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    tested = 0
    for found in document.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue  # an id in a path can be any text

        @QUICK
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            case.call_and_validate(checks=CHECKS)

        check()
        tested += 1
    assert tested == 2 * len(ENDPOINTS) + (3 * 2 if mode is GenerationMode.POSITIVE else 0)
