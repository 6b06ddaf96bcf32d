"""The real service with the real engine on a very small network; clips to send to it."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import uvicorn
from PIL import Image

from engine.models import load_model
from engine.worker import Worker
from signaling.app import create_app
from signaling.fal.mount import fal_service
from signaling.fal.service import FalService
from signaling.fal.settings import FalSettings
from signaling.fal.websocket import WebSocketProtocol
from signaling.serve import listen
from signaling.settings import Settings

LOOPBACK = (ip_network("127.0.0.0/8"),)
SIZE = (160, 120)
FRAMES = 10


@dataclass
class Server:
    """One running service. `settings` are the service's, `fal` the API's own."""

    data_dir: Path
    checkpoint: Any
    settings: dict[str, Any] = field(default_factory=dict)
    fal: dict[str, Any] = field(default_factory=dict)
    tls: tuple[Path, Path] | None = None

    def start(self) -> Server:
        settings = Settings(port=0, **self.settings)
        self.worker = Worker(
            lambda: load_model(
                checkpoint=self.checkpoint.weights, config=self.checkpoint.config, device="cpu"
            )
        )
        self.service: FalService = fal_service(
            settings, self.worker, FalSettings(data_dir=self.data_dir, **self.fal)
        )
        listener = listen(settings)
        self.port = listener.getsockname()[1]
        tls = {"ssl_certfile": str(self.tls[0]), "ssl_keyfile": str(self.tls[1])} if self.tls else {}
        app = create_app(settings, self.worker, self.service)
        config = uvicorn.Config(
            app, ws=WebSocketProtocol, log_level="warning", timeout_graceful_shutdown=1, **tls
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        self._wait_for(lambda: self._server.started and self.worker.ready)
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=30)
        assert not self._thread.is_alive(), "the service did not stop"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}"

    def _wait_for(self, condition: Any) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert self._thread.is_alive(), "the service ended"
            assert time.monotonic() < deadline, self.worker.error
            time.sleep(0.02)


@dataclass(frozen=True)
class Secure:
    """A server with a certificate for fal's names, the test authority that signed it, a page that calls."""

    server: Server
    authority: Path
    hosts = ("fal.run", "queue.fal.run", "rest.fal.ai", "v3.fal.media")
    page = "https://studio.example"


def jpeg(shift: int = 0, size: tuple[int, int] = SIZE) -> bytes:
    """A red square on grey."""
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    picture[30:70, 20 + shift : 60 + shift] = (220, 40, 60)
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG")
    return data.getvalue()


def write_clip(path: Path, frames: int = FRAMES, size: tuple[int, int] = SIZE, sound: bool = True) -> Path:
    """A moving square over noise, with a tone where `sound`; H264 in MP4 at 10 fps."""
    rng = np.random.default_rng(5)
    noise = rng.integers(60, 120, (size[1], size[0], 3), np.uint8)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        audio = out.add_stream("aac", rate=16000, layout="mono") if sound else None
        for index in range(frames):
            picture = noise.copy()
            picture[30:70, 20 + 4 * index : 60 + 4 * index] = (220, 40, 60)
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(video.encode(None))
        if audio is not None:
            tone = np.sin(np.arange(frames * 1600) / 8).astype(np.float32)[None]
            block = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            block.sample_rate, block.pts = 16000, 0
            out.mux(audio.encode(block))
            out.mux(audio.encode(None))
    return path


def fetch(url: str) -> bytes:
    answer = httpx.get(url)
    answer.raise_for_status()
    return answer.content


def pictures(path: Path) -> list[np.ndarray[Any, Any]]:
    """Every picture of a video as RGB."""
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
