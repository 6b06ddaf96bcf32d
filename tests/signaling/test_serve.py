"""`livemask serve` as a process: it says when it is ready, and stops when it is told to."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from checkpoint import Checkpoint
from signaling_service import Camera

from signaling.cli import main
from signaling.command import CommandError
from signaling.fal.settings import FalSettings
from signaling.serve import demand_key, listen
from signaling.settings import Settings
from stream.client import LiveClient

STOP_SECONDS = 20  # generous: a loaded machine; an idle one needs one or two


@contextmanager
def served(*flags: object) -> Iterator[subprocess.Popen[str]]:
    with tempfile.TemporaryDirectory() as data:
        yield from _served(data, flags)


def _served(data: str, flags: Sequence[object]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "signaling.cli", "serve", "--port", "0", *map(str, flags)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_DATA_HOME": data},
        preexec_fn=_heed_interrupts,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _heed_interrupts() -> None:
    """A shell starts background jobs with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def tiny(checkpoint: Checkpoint) -> list[object]:
    return ["--checkpoint", checkpoint.weights, "--config", checkpoint.config, "--device", "cpu"]


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.match(r"Livemask is ready: http://localhost:(\d+)/", line)
    assert found, line
    return f"http://127.0.0.1:{found[1]}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly(tiny_checkpoint: Checkpoint, number: signal.Signals) -> None:
    with served(*tiny(tiny_checkpoint)) as process:
        address(process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == (0 if number == signal.SIGTERM else 130)
    assert "Traceback" not in errors


async def test_sigterm_with_a_live_session(tiny_checkpoint: Checkpoint) -> None:
    with served(*tiny(tiny_checkpoint)) as process:
        messages: list[dict[str, object]] = []
        live = await LiveClient.connect(address(process), Camera(), listener=messages.append)
        try:
            await live.prompt({"prompts": [{"x": 50, "y": 50}]})
            process.terminate()
            _, errors = process.communicate(timeout=STOP_SECONDS)
        finally:
            await live.close()
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert re.search(r"session [0-9a-f]{32} closed: shutdown", errors)


def test_sigterm_while_the_model_is_loading(tiny_checkpoint: Checkpoint) -> None:
    with served(*tiny(tiny_checkpoint), "--log-level", "info") as process:
        assert process.stderr is not None
        while "startup complete" not in (line := process.stderr.readline()):
            assert line, "the server never came up"
        process.terminate()
        began = time.monotonic()
        process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 0
    assert time.monotonic() - began < STOP_SECONDS


def test_a_model_that_is_not_there_ends_the_process_and_says_so() -> None:
    with served("--checkpoint", "/nowhere/x.pt", "--config", "configs/sam2.1/sam2.1_hiera_t.yaml") as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output == ""
    assert "/nowhere/x.pt" in errors


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert main(["serve", "--port", str(other.getsockname()[1])]) == 2
    error = capsys.readouterr().err
    assert "cannot listen on 127.0.0.1" in error
    assert "--port" in error


def test_an_open_door_is_refused_until_there_is_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIVEMASK_API_KEYS", raising=False)
    data = ["--data-dir", str(tmp_path)]
    assert main(["serve", "--host", "0.0.0.0", *data]) == 2
    refusal = capsys.readouterr().err
    assert "livemask keys create" in refusal
    assert "LIVEMASK_API_KEYS" in refusal
    settings, fal = Settings(host="0.0.0.0"), FalSettings(tmp_path)
    assert main(["keys", *data, "create", "--scopes", "admin"]) == 0
    key_id = capsys.readouterr().out.partition(":")[0]
    demand_key(settings, fal)
    assert main(["keys", *data, "revoke", key_id]) == 0
    with pytest.raises(CommandError):
        demand_key(settings, fal)
    demand_key(Settings(), fal)
    demand_key(Settings(host="0.0.0.0", api_keys=("k" * 16,)), fal)


def test_listening_over_ipv6() -> None:
    with listen(Settings(host="::1", port=0)) as listener:
        assert listener.family == socket.AF_INET6
