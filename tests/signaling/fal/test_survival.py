"""Kill -9 in the middle of the work, and what a restart finds. The real command, the real database."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import SIZE, Server, jpeg, write_clip
from test_video import upload

from signaling.cli import main
from web import Web

VIDEO = "fal-ai/sam-3/video-rle"
IMAGE = "fal-ai/sam2/image"
CLICK = [{"x": 40, "y": 50}]


class Process:
    """`livemask serve` as a user starts it."""

    def __init__(self, data: Path, checkpoint: Any, database_url: str) -> None:
        command = [sys.executable, "-m", "signaling.cli", "serve", "--port", "0", "--device", "cpu"]
        command += ["--checkpoint", str(checkpoint.weights), "--config", str(checkpoint.config)]
        environ = {
            **os.environ,
            "OMP_NUM_THREADS": "1",  # the network is too small to share, and the machine may be busy
            "LIVEMASK_FAL_DATA_DIR": str(data),
            "LIVEMASK_FAL_DATABASE_URL": database_url,
            "LIVEMASK_FAL_WORKERS": "1",
            "LIVEMASK_FAL_ALLOW_NETWORKS": "127.0.0.0/8",
            "LIVEMASK_FAL_WEBHOOK_DELAYS": "0.5,0.5,0.5,0.5",
        }
        self._process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = next(text for text in self._process.stdout if "ready" in text)
        self.url = line.split()[-1].rstrip("/").replace("localhost", "127.0.0.1")

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=20)

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(timeout=30)

    def submit(self, app: str, hook: str, **urls: str) -> str:
        body = {**urls, "prompts": CLICK}
        answer = httpx.post(f"{self.url}/queue/{app}", json=body, params={"fal_webhook": hook})
        return str(answer.json()["request_id"])

    def status(self, app: str, request_id: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/queue/{app}/requests/{request_id}/status", params={"logs": "1"})
        return answer.json()

    def result(self, app: str, request_id: str) -> dict[str, Any]:
        return httpx.get(f"{self.url}/queue/{app}/requests/{request_id}").json()

    def wait(self, app: str, request_id: str, status: str) -> dict[str, Any]:
        deadline = time.monotonic() + 120
        while (now := self.status(app, request_id))["status"] != status:
            assert time.monotonic() < deadline, now
            time.sleep(0.05)
        return now


def test_kill_in_the_middle(tiny_checkpoint: Any, tmp_path: Path, database_url: str) -> None:
    data = tmp_path / "data"
    clip = write_clip(tmp_path / "clip.mp4", frames=25, sound=False)
    picture = "data:image/jpeg;base64," + base64.b64encode(jpeg()).decode()
    with Web(statuses=[500]) as web:
        first = Process(data, tiny_checkpoint, database_url)
        video = upload(first, clip, "video/mp4")  # type: ignore[arg-type]
        done = first.submit(IMAGE, web.url, image_url=picture)
        first.wait(IMAGE, done, "COMPLETED")
        answer = first.result(IMAGE, done)
        running = first.submit(VIDEO, web.url, video_url=video)
        waiting = first.submit(IMAGE, web.url, image_url=picture)
        first.wait(VIDEO, running, "IN_PROGRESS")
        assert first.status(IMAGE, waiting)["status"] == "IN_QUEUE"
        first.kill()
        second = Process(data, tiny_checkpoint, database_url)
        try:
            assert second.result(IMAGE, done) == answer
            log = [line["message"] for line in second.wait(VIDEO, running, "COMPLETED")["logs"]]
            assert f"{VIDEO} begins, try 2" in log
            assert len(second.result(VIDEO, running)["rle"]) == 25
            second.wait(IMAGE, waiting, "COMPLETED")
            assert second.result(IMAGE, waiting)["image"]["width"] == SIZE[0]
            deadline = time.monotonic() + 60
            while {caught.json["request_id"] for caught in web.caught[1:]} != {done, running, waiting}:
                assert time.monotonic() < deadline, "a webhook is lost"
                time.sleep(0.05)
            for caught in web.caught:
                assert caught.headers["x-fal-webhook-request-id"] == caught.json["request_id"]
                assert caught.json["status"] == "OK"
            assert not list((data / "work").rglob("*.mp4")), "the killed try left files behind"
        finally:
            assert second.stop() == 0


def test_a_second_server_on_the_same_data_is_refused_in_one_line(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["serve", "--port", "0", "--data-dir", str(server.data_dir)]) == 2
    finally:
        signal.signal(signal.SIGTERM, before)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{server.data_dir} is used by another server (process {os.getpid()})" in line
    assert "--data-dir" in line
