"""`livemask serve`: the page and the API, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
from types import FrameType

from signaling.command import CommandError
from signaling.fal.settings import FalSettings, read_fal_settings
from signaling.fal.settings import add_arguments as add_data_dir
from signaling.settings import Settings, read_settings
from signaling.settings import add_arguments as add_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `livemask serve`: every setting, and where its data lies."""
    add_settings(parser)
    add_data_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve; the exit status is 0 after SIGTERM, 1 when the model could not be loaded.

    Raises:
        CommandError: a setting that cannot be used, an address that cannot be listened on, no key where one
            is needed.
    """
    settings, fal = read_settings(arguments, os.environ), read_fal_settings(arguments, os.environ)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    signal.signal(signal.SIGTERM, _stop)
    demand_key(settings, fal)
    with listen(settings) as listener:
        from signaling.server import serve  # brings torch, which --help and a wrong flag need not wait for

        return asyncio.run(serve(settings, fal, listener))


def demand_key(settings: Settings, fal: FalSettings) -> None:
    """Make sure that a service which other machines can reach has a key that opens it.

    Raises:
        CommandError: there is none.
    """
    if settings.loopback or settings.api_keys:
        return
    from signaling.fal.command import opened_keys

    with opened_keys(fal) as keys:
        if keys.any_in_force():
            return
    raise CommandError(
        f"host {settings.host} is reachable from the network, so an API key is needed: make one with "
        "`livemask keys create --scopes admin`, or set LIVEMASK_API_KEYS (`openssl rand -hex 24`)"
    )


def _stop(signum: int, frame: FrameType | None) -> None:
    """End the process: before uvicorn took over, or when it has shut down and raises the signal again."""
    raise SystemExit(0)


def listen(settings: Settings) -> socket.socket:
    """A listening socket on the host and port of the settings.

    Raises:
        CommandError: the port is taken, or the host is not one of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; see --host and --port"
        ) from None
    return listener
