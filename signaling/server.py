"""uvicorn around the application, until a signal or until the model turns out not to load."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from contextlib import suppress

import uvicorn

from engine.worker import Worker
from signaling.app import create_app
from signaling.boot import boot_model
from signaling.fal.mount import fal_service
from signaling.fal.settings import FalSettings
from signaling.fal.websocket import WebSocketProtocol
from signaling.settings import Settings

GRACE = 3  # seconds that requests in progress may take when the server stops

logger = logging.getLogger("livemask")


async def serve(settings: Settings, fal_settings: FalSettings, listener: socket.socket) -> int:
    """Serve on `listener`; gives the exit status, 1 when there is no model.

    Raises:
        CommandError: another server uses the data directory.
    """
    worker = Worker(lambda: boot_model(settings))
    fal = fal_service(settings, worker, fal_settings)
    fal.occupy()
    # uvloop's UDP transports break aiortc, so the loop is asyncio's own.
    config = uvicorn.Config(
        create_app(settings, worker, fal),
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
    _settle_memory()
    print(f"Livemask is ready: {address}", flush=True)


def _settle_memory() -> None:
    """Take all that was loaded out of garbage collection.

    A full collection comes when a quarter of what the last one kept is new: beside torch's modules that is
    hundreds of ended connections. Without them it comes every few, and takes milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.collect()


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = {"127.0.0.1": "localhost", "::1": "localhost", "0.0.0.0": socket.gethostname()}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
