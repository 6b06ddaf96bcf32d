"""The cameras that the operator names in a TOML file, so that users pick a name and never send a URL.

[[camera]]
name = "gate"
url = "rtsp://10.0.0.7/stream1"
username = "viewer"                        # or { env = "GATE_USER" }
password = { env = "GATE_PASSWORD" }       # never the password itself
transport = "tcp"                          # or "udp"
max_size = "1920x1080"
max_fps = 15
open_seconds = 10                          # for the connection and the first picture
silent_seconds = 5                         # without a picture, then it is looked for again
frozen_seconds = 0                         # of the very same picture; 0: never mind
tls_ca = "gate.pem"                        # rtsps: who may have signed its certificate; beside this file
tls_verify = true                          # rtsps: check the certificate
autostart = true                           # follow from the start of the service on, watched or not
[[camera.prompts]]                         # what to follow; docs/protocol.md section 5
box_prompts = [{ x_min = 100, y_min = 80, x_max = 300, y_max = 400, object_id = 1 }]
width = 1920
height = 1080
[[camera.prompts]]
mask_file = "door.png"                     # or .json: the `rle` of a result; beside this file
object_id = 2
"""

from __future__ import annotations

import base64
import json
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.masks import rle_to_mask
from engine.types import EngineError
from signaling.settings import SettingsError
from stream import mask_url
from stream.prompt_message import PromptMessage, read_prompt_message
from stream.sources.address import Credentials, SourceError, read_address
from stream.sources.reader import Limits
from stream.sources.request import NAME_CHARACTERS, TRANSPORTS
from stream.sources.rtsp import RtspCamera
from stream.wire import Fields, WireError

SCHEMES = ("rtsp", "rtsps")
KEYS = frozenset(
    "name url username password transport max_size max_fps open_seconds silent_seconds frozen_seconds "
    "tls_ca tls_verify autostart prompts".split()
)


@dataclass(frozen=True, slots=True)
class Camera:
    """One entry of the file."""

    name: str
    rtsp: RtspCamera
    autostart: bool
    prompts: tuple[PromptMessage, ...]


def read_cameras(path: Path, environ: Mapping[str, str]) -> dict[str, Camera]:
    """Every camera of the file, by name.

    Raises:
        SettingsError: the file is missing or wrong; the message names the camera and the key, never a secret.
    """
    try:
        entries = tomllib.loads(path.read_text()).get("camera", [])
    except OSError as error:
        raise SettingsError(f"cameras: {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"cameras: {path}: {error}") from None
    if not isinstance(entries, list):
        raise SettingsError(f"cameras: {path}: expected [[camera]] entries")
    cameras: dict[str, Camera] = {}
    for number, entry in enumerate(entries):
        where = f"cameras: {path}: camera {entry.get('name', number + 1)!r}"
        try:
            camera = _read(entry, path.parent, environ)
        except WireError as error:
            raise SettingsError(f"{where}: {error.reason}") from None
        except SourceError as error:
            raise SettingsError(f"{where}: {error}") from None
        if camera.name in cameras:
            raise SettingsError(f"{where}: there are two of this name")
        cameras[camera.name] = camera
    return cameras


def _read(entry: Mapping[str, Any], folder: Path, environ: Mapping[str, str]) -> Camera:
    fields = Fields(entry)
    unknown = set(entry) - KEYS
    if unknown:
        fields.refuse("INVALID_INPUT", min(unknown), f"one of {', '.join(sorted(KEYS))}", "an unknown key")
    name = fields.text("name", NAME_CHARACTERS)
    if not all(character.isalnum() or character in "-_." for character in name):
        fields.refuse("INVALID_INPUT", "name", "letters, digits, '-', '_' and '.'", name)
    username, password = _secret(fields, "username", environ), _secret(fields, "password", environ)
    credentials = Credentials(username, password or "") if username is not None else None
    address = read_address(fields.text("url", 2048), SCHEMES, credentials)
    if address.credentials is not credentials:
        raise WireError("INVALID_INPUT", "url: expected no credentials; give username and password")
    return Camera(
        name,
        RtspCamera(
            address,
            fields.one_of("transport", TRANSPORTS) if fields.has("transport") else "tcp",
            _limits(fields),
            networks=None,  # who writes this file may name any host
            verify=fields.boolean("tls_verify", True),
            authorities=_authorities(fields, folder) if fields.has("tls_ca") else None,
        ),
        fields.boolean("autostart", False),
        tuple(_prompt(message, folder) for message in fields.sequence("prompts", 64)),
    )


def _secret(fields: Fields, name: str, environ: Mapping[str, str]) -> str | None:
    """A text, or the value of the environment variable in { env = NAME }; a password only the latter."""
    if not fields.has(name):
        return None
    if name == "username" and isinstance(fields.get(name), str):
        return fields.text(name, 256)
    if not isinstance(fields.get(name), Mapping):
        raise WireError("INVALID_INPUT", f'{name}: expected {{ env = "VARIABLE" }}')
    variable = fields.nested(name).text("env", 256)
    if variable not in environ:
        raise WireError("INVALID_INPUT", f"{name}: the environment has no {variable}")
    return environ[variable]


def _authorities(fields: Fields, folder: Path) -> str:
    """A file of certificates, which is tried at once: FFmpeg would not say that it is missing."""
    path = folder / fields.text("tls_ca", 4096)
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # which ssl.SSLError is, too
        raise WireError("INVALID_INPUT", f"tls_ca: {path}: {error.strerror}") from None
    return str(path)


def _limits(fields: Fields) -> Limits:
    default = Limits()
    width, height = _size(fields) if fields.has("max_size") else (default.max_width, default.max_height)

    def number(name: str, low: float) -> float:
        return fields.number(name, low, 3600) if fields.has(name) else float(getattr(default, name))

    return Limits(
        open_seconds=number("open_seconds", 0.1),
        silent_seconds=number("silent_seconds", 0.1),
        frozen_seconds=number("frozen_seconds", 0),
        max_width=width,
        max_height=height,
        max_fps=number("max_fps", 0),
    )


def _size(fields: Fields) -> tuple[int, int]:
    text = fields.text("max_size", 16)
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        fields.refuse("INVALID_INPUT", "max_size", "WIDTHxHEIGHT", text)
    return int(width), int(height)


def _prompt(message: Any, folder: Path) -> PromptMessage:
    """A prompt message, whose mask may be a file beside the configuration."""
    if not isinstance(message, dict):
        raise WireError("INVALID_INPUT", "prompts: expected tables")
    name = message.get("mask_file")
    if isinstance(name, str):
        try:
            message = {**message, "mask_url": _saved_mask(folder / name)}
        except OSError as error:
            raise WireError("INVALID_INPUT", f"mask_file: {name}: {error.strerror}") from None
        except (ValueError, LookupError, TypeError, EngineError) as error:
            raise WireError("BAD_MASK", f"mask_file: {name}: expected COCO run lengths ({error})") from None
    return read_prompt_message(message)


def _saved_mask(path: Path) -> str:
    """A PNG, or run lengths as results carry them, as the data URI of a message."""
    data = path.read_bytes()
    if path.suffix == ".json":
        return mask_url.encode(rle_to_mask(json.loads(data)))
    return mask_url.PREFIX + base64.b64encode(data).decode()
