from __future__ import annotations

import argparse

import pytest

from signaling.settings import Settings, SettingsError, add_arguments, read_settings

KEY = "0123456789abcdef0123"


def read(flags: list[str], environ: dict[str, str]) -> Settings:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read_settings(parser.parse_args(flags), environ)


def test_flag_wins_over_environment_and_environment_over_default() -> None:
    environ = {"LIVEMASK_PORT": "9000", "LIVEMASK_MODEL": "pico"}
    settings = read(["--port", "9100"], environ)
    assert (settings.port, settings.model, settings.host) == (9100, "pico", "127.0.0.1")


def test_lists_are_comma_separated_and_empty_means_default() -> None:
    settings = read(
        ["--ice-servers", "stun:a:3478, turn:b:3478"], {"LIVEMASK_MAX_SESSIONS": "", "LIVEMASK_API_KEYS": KEY}
    )
    assert settings.ice_servers == ("stun:a:3478", "turn:b:3478")
    assert settings.max_sessions == 8
    assert settings.api_keys == (KEY,)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "camera.example"])
def test_reachable_from_the_network_needs_a_key(host: str) -> None:
    settings = read(["--host", host], {})
    assert not settings.loopback
    assert settings.keys_required


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none_until_there_is_one(host: str) -> None:
    assert read(["--host", host], {}).loopback
    assert not read(["--host", host], {}).keys_required
    assert read(["--host", host], {"LIVEMASK_API_KEYS": KEY}).keys_required


def test_a_key_to_watch_is_no_use_where_everybody_may_do_everything() -> None:
    with pytest.raises(SettingsError, match="view_keys"):
        read(["--view-keys", KEY], {})
    assert read(["--view-keys", KEY, "--host", "0.0.0.0"], {}).view_keys == (KEY,)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--port", "http"], "port: expected int, got 'http'"),
        (["--port", "70000"], "port: expected 0 to 65535, got 70000"),
        (["--max-cond-frames", "1"], "max_cond_frames: expected at least 2, got 1"),
        (["--max-sessions", "0"], "max_sessions: expected at least 1, got 0"),
        (["--offers-per-second", "0"], "offers_per_second"),
        (["--allowed-origins", "example.org"], "allowed_origins"),
        (["--allowed-origins", "https://example.org/page"], "allowed_origins"),
        (["--log-level", "loud"], "log_level"),
        (["--checkpoint", "x.pt"], "checkpoint"),
        (["--api-keys", "short"], "16 characters"),
    ],
)
def test_an_error_names_the_setting_and_what_was_expected(flags: list[str], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(flags, {})
    assert named in str(caught.value)


def test_an_error_never_shows_a_key() -> None:
    with pytest.raises(SettingsError) as caught:
        read(["--api-keys", "secret"], {})
    assert "secret" not in str(caught.value)
