from __future__ import annotations

import pytest

from signaling.rights import SCOPES, Principal, Right, allowed, needed, session_of


@pytest.mark.parametrize(
    ("method", "path", "right", "session"),
    [
        ("GET", "/sessions", Right.ENTER, None),
        ("GET", "/sessions/ice-servers", Right.ENTER, "ice-servers"),
        ("GET", "/cameras", Right.ENTER, None),
        ("OPTIONS", "/whip/desk", Right.ENTER, None),
        ("POST", "/sessions", Right.START, None),
        ("POST", "/sessions/", Right.START, None),
        ("POST", "/whip/desk", Right.START, None),
        ("GET", "/sessions/a", Right.WATCH, "a"),
        ("GET", "/sessions/a/results", Right.WATCH, "a"),
        ("GET", "/sessions/a/snapshot.jpg", Right.WATCH, "a"),
        ("GET", "/sessions/a/mjpeg", Right.WATCH, "a"),
        ("GET", "/sessions/a/recording", Right.WATCH, "a"),
        ("POST", "/sessions/a/viewers", Right.WATCH, "a"),
        ("DELETE", "/sessions/a/viewers/b", Right.WATCH, "a"),
        ("POST", "/whep/a", Right.WATCH, "a"),
        ("DELETE", "/whep/a/b", Right.WATCH, "a"),
        ("GET", "/recordings", Right.WATCH, None),
        ("GET", "/recordings/a.mp4", Right.WATCH, None),
        ("GET", "/metrics", Right.WATCH, None),
        ("POST", "/sessions/a/prompts", Right.PROMPT, "a"),
        ("DELETE", "/sessions/a", Right.MANAGE, "a"),
        ("POST", "/sessions/a/recording", Right.MANAGE, "a"),
        ("DELETE", "/sessions/a/recording", Right.MANAGE, "a"),
        ("POST", "/sessions/a/pushes", Right.MANAGE, "a"),
        ("DELETE", "/whip/desk/a", Right.MANAGE, "a"),
        ("POST", "/cameras", Right.MANAGE, None),
        ("POST", "/sessions/a/what-comes-later", Right.MANAGE, "a"),
    ],
)
def test_what_a_request_does(method: str, path: str, right: Right, session: str | None) -> None:
    assert needed(method, path) is right
    assert session_of(path) == session


@pytest.mark.parametrize(
    ("right", "scopes"),
    [
        (Right.ENTER, set(SCOPES)),
        (Right.START, {"run", "admin"}),
        (Right.WATCH, {"view", "prompt", "admin"}),
        (Right.PROMPT, {"prompt", "admin"}),
        (Right.MANAGE, {"admin"}),
    ],
)
def test_which_scope_lets_it(right: Right, scopes: set[str]) -> None:
    for owner in (None, "somebody else"):
        may = {s for s in SCOPES if allowed(Principal("me", frozenset({s})), right, owner)}
        assert may == scopes


@pytest.mark.parametrize("right", list(Right))
def test_who_began_a_session_does_everything_with_it(right: Right) -> None:
    assert allowed(Principal("me", frozenset({"run"})), right, "me")
    assert not allowed(Principal("me", frozenset()), right, "me")
