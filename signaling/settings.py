"""Every setting of the service: one frozen object, read once from flags and `LIVEMASK_*`.

A setting is a field of `Settings`; its flag, its environment variable, its help text and its parsing all
follow from that field. A flag wins over the environment, the environment over the default.
"""

from __future__ import annotations

import argparse
import dataclasses
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signaling.command import CommandError

ENV_PREFIX = "LIVEMASK_"
H264_ENCODERS = ("auto", "libx264", "h264_nvenc")
LOG_LEVELS = ("debug", "info", "warning", "error")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(CommandError):
    """A setting that cannot be used; the message names it, what was expected and what came."""


def _texts(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _networks(value: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part) for part in _texts(value))


def _addresses(value: str) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_address(part)) for part in _texts(value))


def _ports(value: str) -> range:
    first, _, last = value.partition("-")
    ports = range(int(first), int(last or first) + 1)
    if not ports or ports[0] < 1 or ports[-1] > 65535:
        raise ValueError
    return ports


def _setting(default: Any, help: str, parse: type | Any = str) -> Any:
    return field(default=default, metadata={"help": help, "parse": parse})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator chose. Durations are seconds, sizes bytes unless said otherwise.

    Raises:
        SettingsError: a value is out of range.
    """

    host: str = _setting("127.0.0.1", "address to listen on; any but loopback demands an API key")
    port: int = _setting(8000, "TCP port of the page and the API; 0 takes a free one", int)
    model: str = _setting("auto", "auto, pico, sam2.1-tiny, -small, -base-plus or -large")
    checkpoint: str | None = _setting(None, "path of a local SAM 2.1 checkpoint, with --config")
    config: str | None = _setting(None, "SAM 2 configuration of --checkpoint")
    device: str = _setting("auto", "auto, cpu, cuda, cuda:N or mps")
    image_size: int | None = _setting(None, "side of the model's input in pixels; default: its own", int)
    dtype: str | None = _setting(None, "float32 or bfloat16; default: what the device is best at")
    max_cond_frames: int = _setting(4, "prompted frames that each object keeps in its memory", int)
    max_objects: int = _setting(16, "objects that one session may follow", int)
    history: float = _setting(2.0, "seconds that a click may be late; past frames are kept for it", float)
    max_sessions: int = _setting(8, "sessions at once; one more is answered 503", int)
    max_duration: float = _setting(0.0, "a session ends after this; 0 means never", float)
    offers_per_second: float = _setting(5.0, "offers answered per second; more are answered 429", float)
    api_keys: tuple[str, ...] = _setting((), "comma-separated API keys; prefer LIVEMASK_API_KEYS", _texts)
    allowed_origins: tuple[str, ...] = _setting((), "comma-separated origins of other sites' pages", _texts)
    allowed_hosts: tuple[str, ...] = _setting((), "comma-separated further names of this host", _texts)
    ice_servers: tuple[str, ...] = _setting((), "comma-separated stun: and turn: URLs", _texts)
    cameras: str | None = _setting(None, "TOML file that names the cameras (docs/deploy.md)")
    source_networks: tuple[Network, ...] = _setting(
        (),
        "comma-separated networks where clients may name sources by URL; none: only named cameras",
        _networks,
    )
    media_dir: str | None = _setting(None, "folder of videos that clients may name as sources")
    recordings_dir: str | None = _setting(None, "folder for recordings; none: no recording")
    push_urls: tuple[str, ...] = _setting(
        (), "comma-separated beginnings of rtsp:, rtmp: and srt: URLs that sessions may be pushed to", _texts
    )
    view_keys: tuple[str, ...] = _setting((), "comma-separated API keys that may watch, not prompt", _texts)
    max_viewers: int = _setting(32, "viewers at once, of all sessions together", int)
    turn_secret: str | None = _setting(None, "secret shared with the TURN servers; better by environment")
    turn_lifetime: float = _setting(600.0, "seconds that TURN credentials are good for", float)
    udp_ports: range | None = _setting(None, "UDP ports for media, FIRST-LAST; default: any", _ports)
    advertised_addresses: tuple[str, ...] = _setting(
        (),
        "comma-separated IP addresses that peers find this server under (NAT, Docker)",
        _addresses,
    )
    h264_encoder: str = _setting("auto", "auto, libx264 or h264_nvenc")
    log_level: str = _setting("info", ", ".join(LOG_LEVELS))

    def __post_init__(self) -> None:
        self._require(self.max_cond_frames >= 2, "max_cond_frames", "at least 2")
        self._require(0 <= self.port <= 65535, "port", "0 to 65535")
        for name in ("max_objects", "max_sessions", "max_viewers", "turn_lifetime"):
            self._require(getattr(self, name) >= 1, name, "at least 1")
        self._require(self.offers_per_second > 0, "offers_per_second", "more than 0")
        self._require(self.max_duration >= 0, "max_duration", "0 or more")
        self._require(0 <= self.history <= 60, "history", "0 to 60 seconds")
        self._require(self.image_size is None or self.image_size >= 64, "image_size", "at least 64")
        self._require(self.log_level in LOG_LEVELS, "log_level", " or ".join(LOG_LEVELS))
        self._require((self.checkpoint is None) == (self.config is None), "checkpoint", "given with config")
        for origin in self.allowed_origins:
            self._require(_is_origin(origin), "allowed_origins", "origins such as https://example.org")
        self._require(self.h264_encoder in H264_ENCODERS, "h264_encoder", " or ".join(H264_ENCODERS))
        for name in ("media_dir", "recordings_dir"):
            folder = getattr(self, name)
            self._require(folder is None or Path(folder).is_dir(), name, "a folder that exists")
        for key in (*self.api_keys, *self.view_keys):
            if len(key) < 16:
                raise SettingsError("api_keys: a key must have at least 16 characters")
        if self.view_keys and not self.keys_required:
            raise SettingsError("view_keys: without api_keys everybody may do everything")

    def _require(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise SettingsError(f"{name}: expected {expected}, got {getattr(self, name)!r}")

    @property
    def keys_required(self) -> bool:
        """Whether requests need a key: wherever another machine can make them, and where there are keys."""
        return bool(self.api_keys) or not self.loopback

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _is_origin(text: str) -> bool:
    scheme, separator, rest = text.partition("://")
    return bool(separator) and scheme in ("http", "https") and bool(rest) and "/" not in rest


def add_arguments(parser: argparse._ActionsContainer, *names: str) -> None:
    """Add the flag of each named setting, or of all of them."""
    for spec in dataclasses.fields(Settings):
        if names and spec.name not in names:
            continue
        shown = "" if spec.default in (None, (), "") else f" (default: {spec.default})"
        parser.add_argument(
            "--" + spec.name.replace("_", "-"),
            dest=spec.name,
            default=None,
            metavar=spec.name.upper(),
            help=f"{spec.metadata['help']}{shown} [{ENV_PREFIX}{spec.name.upper()}]".replace("%", "%%"),
        )


def read_settings(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """Flags first, then the environment, then the defaults.

    Raises:
        SettingsError: a value cannot be parsed or used.
    """
    chosen: dict[str, Any] = {}
    for spec in dataclasses.fields(Settings):
        text = getattr(arguments, spec.name, None)
        if text is None:
            text = environ.get(ENV_PREFIX + spec.name.upper()) or None
        if text is not None:
            chosen[spec.name] = _parse(spec, text)
    return Settings(**chosen)


def _parse(spec: dataclasses.Field[Any], text: str) -> Any:
    parse = spec.metadata["parse"]
    try:
        return parse(text)
    except ValueError:
        raise SettingsError(f"{spec.name}: expected {parse.__name__}, got {text!r}") from None
