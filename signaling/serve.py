"""`livemask serve`: the page and the API, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
from contextlib import suppress
from types import FrameType

import uvicorn

from engine.worker import Worker
from signaling.app import create_app
from signaling.boot import boot_model
from signaling.command import CommandError
from signaling.fal.mount import fal_service
from signaling.fal.settings import FalSettings
from signaling.fal.websocket import WebSocketProtocol
from signaling.settings import Settings, read_settings
from signaling.settings import add_arguments as add_settings

GRACE = 3  # seconds that requests in progress may take when the server stops

logger = logging.getLogger("livemask")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `livemask serve`: every setting."""
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve; the exit status is 0 after SIGTERM, 1 when the model could not be loaded.

    Raises:
        CommandError: a setting that cannot be used, or an address that cannot be listened on.
    """
    settings = read_settings(arguments, os.environ)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    signal.signal(signal.SIGTERM, _stop)
    with listen(settings) as listener:
        return asyncio.run(serve(settings, listener))


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


async def serve(settings: Settings, listener: socket.socket) -> int:
    """Serve on `listener` until a signal or until the model turns out not to load."""
    worker = Worker(lambda: boot_model(settings))
    # uvloop's UDP transports break aiortc, so the loop is asyncio's own.
    config = uvicorn.Config(
        create_app(settings, worker, fal_service(settings, worker, FalSettings.from_env())),
        loop="asyncio",
        ws=WebSocketProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    server = uvicorn.Server(config)
    boot = asyncio.create_task(_announce(worker, server, _address(listener)))
    try:
        await server.serve(sockets=[listener])
    finally:
        boot.cancel()
        with suppress(asyncio.CancelledError):
            await boot
    return 1 if worker.error else 0


async def _announce(worker: Worker, server: uvicorn.Server, address: str) -> None:
    """Say when the service can be used; stop the server when it never will be."""
    while not (worker.ready or worker.error):  # noqa: ASYNC110 (the worker is a thread and knows no event loop)
        await asyncio.sleep(0.05)
    if worker.error:
        logger.error("the model could not be loaded: %s", worker.error)
        server.should_exit = True
        return
    print(f"Livemask is ready: {address}", flush=True)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = {"127.0.0.1": "localhost", "::1": "localhost", "0.0.0.0": socket.gethostname()}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
