"""Webhooks: signed, tried again, told once by id, to the address that was given alone."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from harness import Server
from test_queue import APP, submit
from test_video import upload

from signaling.fal import webhooks
from web import Caught, Web


@pytest.fixture(scope="module")
def video(server: Server, clip: Path) -> str:
    return upload(server, clip, "video/mp4")


def check_signature(server: Server, caught: Caught) -> None:
    (key,) = httpx.get(f"{server.url}/.well-known/jwks.json").json()["keys"]
    assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")
    public = Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(key["x"] + "=="))
    headers = caught.headers
    signed = "\n".join(
        (
            headers["x-fal-webhook-request-id"],
            headers["x-fal-webhook-user-id"],
            headers["x-fal-webhook-timestamp"],
            sha256(caught.body).hexdigest(),
        )
    )
    signature = bytes.fromhex(headers["x-fal-webhook-signature"])
    public.verify(signature, signed.encode())
    with pytest.raises(InvalidSignature):
        public.verify(signature, signed.encode() + b"x")
    assert abs(time.time() - int(headers["x-fal-webhook-timestamp"])) < 300


def test_webhooks_are_signed_and_tried_again(server: Server, video: str) -> None:
    with Web(statuses=[503, 500]) as web:
        job = submit(server, video, fal_webhook=f"{web.url}/hook?a=b&c=d")
        caught = web.wait(3)
        for delivery in caught:
            check_signature(server, delivery)
            assert delivery.json["request_id"] == job["request_id"]
            assert delivery.json["gateway_request_id"] == job["request_id"]
        assert caught[0].body == caught[2].body
        body = caught[-1].json
        assert (body["status"], body["error"]) == ("OK", None)
        assert body["payload"] == httpx.get(job["response_url"]).json()


def test_a_receiver_that_hangs_is_given_up_and_tried_again(
    server: Server, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fal waits 15 seconds; here it is less."""
    assert webhooks.ANSWER_SECONDS == 15
    monkeypatch.setattr(webhooks, "ANSWER_SECONDS", 0.5)
    with Web(delays=[30]) as web:
        job = submit(server, video, fal_webhook=web.url)
        first, second = web.wait(2)[:2]
    assert first.json["request_id"] == second.json["request_id"] == job["request_id"]


def test_a_receiver_that_cannot_be_called_stops_nobody_elses(server: Server) -> None:
    wrong = {"video_url": "https://example.org/x.mp4"}
    url = f"{server.url}/queue/{APP}"
    refused = httpx.post(url, json=wrong, params={"fal_webhook": "http://a..b/hook"})
    assert (refused.status_code, "host name" in refused.json()["detail"]) == (400, True)
    for hook in ("http://no-such-host.invalid/", "http://127.0.0.1:1/"):
        assert httpx.post(url, json=wrong, params={"fal_webhook": hook}).status_code == 200
    with Web() as web:
        job = httpx.post(url, json=wrong, params={"fal_webhook": web.url}).json()
        assert web.wait(1)[0].json["request_id"] == job["request_id"]


def test_a_failure_is_told_by_webhook(server: Server) -> None:
    with Web() as web:
        body = {"video_url": "https://example.org/x.mp4"}
        httpx.post(f"{server.url}/queue/{APP}", json=body, params={"fal_webhook": web.url})
        (caught,) = web.wait(1)
        assert (caught.json["status"], caught.json["error"]) == ("ERROR", "Invalid status code: 422")
        assert caught.json["payload"]["detail"][0]["loc"] == ["body", "prompts"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_webhook_does_not_follow_redirects(server: Server, status: int) -> None:
    """It counts as not taken: the same address is tried again."""
    with Web(statuses=[status]) as web:
        web.moved = f"{web.url}/elsewhere"
        hook = {"fal_webhook": f"{web.url}/hook"}
        httpx.post(f"{server.url}/queue/fal-ai/sam2/video", json={}, params=hook)
        first, second = web.wait(2)
        assert first.body == second.body
        assert (web.posted, web.asked) == (["/hook", "/hook"], [])


@pytest.mark.parametrize("hook", ["file:///etc/passwd", "ftp://h/x", "http://u:p@h/", "hook", "http://h/a b"])
def test_a_webhook_that_is_no_address_is_refused_at_once(server: Server, hook: str) -> None:
    url = f"{server.url}/queue/fal-ai/sam2/video"
    answer = httpx.post(url, json={}, params={"fal_webhook": hook})
    assert (answer.status_code, answer.json()["error_type"]) == (400, "bad_request")
    assert answer.json()["detail"].startswith("fal_webhook: expected")
