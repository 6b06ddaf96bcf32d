"""The server keeps to the document that it publishes, whatever it is sent."""

from __future__ import annotations

from typing import Any

import schemathesis
from harness import Server
from hypothesis import HealthCheck, given, settings
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


def test_answers_are_as_documented(server: Server) -> None:
    document = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    tested = 0
    for found in document.get_all_operations():
        operation = found.ok()

        @QUICK
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            case.call_and_validate(checks=CHECKS)

        check()
        tested += 1
    assert tested == 2 * len(ENDPOINTS) + 3 * 2
