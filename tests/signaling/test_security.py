from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from signaling.security import fetch_site_allowed, host_allowed, origin_allowed
from signaling.settings import Settings

KEY = "0123456789abcdef0123"
LOCAL = Settings(allowed_origins=("https://app.example",), allowed_hosts=("cam.example",))
PUBLIC = Settings(host="0.0.0.0", api_keys=(KEY,), allowed_hosts=("cam.example",))


@pytest.mark.parametrize(
    ("host", "local", "public"),
    [
        ("localhost:8000", True, True),
        ("LOCALHOST", True, True),
        ("127.0.0.1:8000", True, True),
        ("[::1]:8000", True, True),
        ("cam.example:443", True, True),
        ("evil.example", False, False),
        ("localhost.evil.example", False, False),
        ("192.168.1.4:8000", False, True),
        ("[2001:db8::1]:8000", False, True),
        ("", False, False),
        ("[::1", False, False),
        ("user@evil.example", False, False),
    ],
)
def test_hosts(host: str, local: bool, public: bool) -> None:
    assert host_allowed(host, LOCAL) is local
    assert host_allowed(host, PUBLIC) is public


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://localhost:8000", True),
        ("https://localhost:8000", True),
        ("https://app.example", True),
        ("http://app.example", False),
        ("https://app.example.evil.example", False),
        ("http://localhost:9000", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
        ("file://", False),
        ("chrome-extension://localhost:8000", False),
    ],
)
def test_origins(origin: str | None, allowed: bool) -> None:
    assert origin_allowed(origin, "localhost:8000", LOCAL) is allowed


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://app.example"}, True),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, True),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, False),
    ],
)
def test_fetch_site(headers: dict[str, str], allowed: bool) -> None:
    assert fetch_site_allowed(Headers(headers), LOCAL) is allowed
