"""Settings of the fal-compatible API, read once from the environment into one frozen object."""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from signaling.settings import SettingsError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MIB = 1 << 20
GIB = 1 << 30
DAY = 86_400
SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME/livemask`, or `~/.local/share/livemask`."""
    base = environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "livemask"


@dataclass(frozen=True, slots=True)
class FalSettings:
    """Every field may be set as `LIVEMASK_FAL_<FIELD>`; lists are separated by commas.

    Attributes:
        data_dir: holds the database, the files and the work in progress, where no URL says otherwise.
        database_url: SQLAlchemy URL; empty is SQLite in `data_dir`.
        files_url: where files are kept (`s3://bucket/prefix`, `gs://`, `az://`); empty is `data_dir/files`.
        public_url: origin under which clients reach this server (`https://live.example.org`); empty takes
            the Host of each request.
        require_key: refuse requests without a valid API key.
        allow_networks: addresses that fetches and webhooks may reach although they are not public.
        workers: jobs that run at once; they share the engine in one batch.
        max_tries: runs of one job, counting those ended by the death of the server.
        lease_seconds: a running job not heard of for so long is taken to be dead.
        max_queue: jobs waiting at most, all keys together.
        key_jobs, key_rate, key_bytes: limits of a key that sets none: jobs waiting or running, requests a
            minute, bytes kept. They hold for the anonymous user as well.
        storage_bytes: bytes kept at most, all keys together.
        upload_bytes, fetch_bytes, body_bytes: size of one upload, one download, one JSON body (which
            bounds data URIs).
        fetch_seconds: time for one download, redirects included.
        video_seconds, video_pixels, image_pixels: what is decoded at most.
        file_seconds, job_seconds: how long files (without a lifecycle) and requests are kept.
        webhook_delays: seconds before each further try of a webhook that was not taken.
        inline_bytes: results with more run-length text than this carry it as a file.
        realtime_idle_seconds: gap between inputs after which a realtime connection is closed.
        realtime_connections: realtime connections at once.
    """

    data_dir: Path
    database_url: str = ""
    files_url: str = ""
    public_url: str = ""
    require_key: bool = False
    allow_networks: tuple[Network, ...] = ()
    workers: int = 2
    max_tries: int = 3
    lease_seconds: float = 30.0
    max_queue: int = 1000
    key_jobs: int = 100
    key_rate: int = 6000
    key_bytes: int = 20 * GIB
    storage_bytes: int = 100 * GIB
    upload_bytes: int = 4 * GIB
    fetch_bytes: int = 4 * GIB
    body_bytes: int = 16 * MIB
    fetch_seconds: float = 600.0
    video_seconds: float = 2 * 3600.0
    video_pixels: int = 4096 * 2304
    image_pixels: int = 8192 * 8192
    file_seconds: int = 7 * DAY
    job_seconds: int = 30 * DAY
    webhook_delays: tuple[float, ...] = (10, 20, 40, 80, 160, 320, 640, 1280, 1920, 2700)
    inline_bytes: int = 8 * MIB
    realtime_idle_seconds: float = 60.0
    realtime_connections: int = 32

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'livemask.db'}"

    @property
    def work_dir(self) -> Path:
        return self.data_dir / "work"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **given: Any) -> FalSettings:
        """Defaults, then `LIVEMASK_FAL_*`, then `given` (from flags).

        Raises:
            SettingsError: naming the variable, what was expected and what came.
        """
        values: dict[str, Any] = {"data_dir": default_data_dir(environ)}
        hints = get_type_hints(cls)
        for field in fields(cls):
            name = f"LIVEMASK_FAL_{field.name.upper()}"
            if name in environ:
                values[field.name] = _parse(name, environ[name], hints[field.name])
        return cls(**(values | given))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The one setting that is a flag as well."""
    parser.add_argument(
        "--data-dir",
        metavar="DATA_DIR",
        help="where requests, files and API keys are kept (default: ~/.local/share/livemask) "
        "[LIVEMASK_FAL_DATA_DIR]",
    )


def read_fal_settings(arguments: argparse.Namespace, environ: Mapping[str, str]) -> FalSettings:
    """The flag first, then the environment, then the defaults.

    Raises:
        SettingsError: as `FalSettings.from_env`.
    """
    given = {} if arguments.data_dir is None else {"data_dir": Path(arguments.data_dir).expanduser()}
    return FalSettings.from_env(environ, **given)


def _parse(name: str, text: str, kind: Any) -> Any:
    try:
        if kind is bool:
            return SWITCH[text.lower()]
        if kind in (int, float, str):
            return kind(text)
        if kind is Path:
            return Path(text).expanduser()
        items = [item.strip() for item in text.split(",") if item.strip()]
        if kind == tuple[float, ...]:
            return tuple(float(item) for item in items)
        return tuple(ipaddress.ip_network(item, strict=False) for item in items)
    except (ValueError, KeyError) as error:
        raise SettingsError(f"{name}: expected {getattr(kind, '__name__', kind)}, got {text!r}") from error
