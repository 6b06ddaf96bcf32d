"""The service's rows: a real server process, and clients in processes of their own on the same machine."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO, Any

from signaling.bench.command import numbers
from signaling.command import CommandError
from signaling.serverprocess import server_process

HEADER = (
    "model",
    "picture",
    "sessions",
    "objects each",
    "fps in",
    "fps out (least)",
    "latency p50 ms",
    "latency p95 ms (worst)",
    "in the server p50 / p95 ms",
    "click to mask ms",
)


def measure(arguments: argparse.Namespace) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The header and the rows; all of them from one server.

    Raises:
        CommandError: a flag that cannot be used, or a session that did not work.
    """
    sizes = [_size(text) for text in arguments.sizes.split(",")]
    counts = numbers(arguments.sessions, "--sessions")
    flags = ["--model", arguments.model, "--device", arguments.device, "--max-sessions", str(max(counts))]
    rows: list[Sequence[str]] = []
    with server_process([*flags, "--offers-per-second", "100"]) as url:
        for size in sizes:
            for count in counts:
                print(f"{count} sessions of {size[0]}x{size[1]} ...", flush=True)
                scores = _play(url, size, count, arguments.session_seconds, arguments.session_objects)
                rows.append(_row(scores, arguments.session_objects))
    return HEADER, rows


def _play(url: str, size: tuple[int, int], count: int, seconds: float, objects: int) -> list[dict[str, Any]]:
    """Run so many clients side by side; begun together, when all have painted their pictures."""
    command = [sys.executable, "-m", "signaling.bench.client", url, *map(str, (*size, seconds, objects))]
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(count)
        ]
        for client in clients:
            stack.callback(client.kill)  # runs before Popen's own exit, which waits
        for client in clients:
            _line(client.stdout)
        for client in clients:
            print("go", file=client.stdin, flush=True)
        scores = [json.loads(_line(client.stdout)) for client in clients]
    if any(each["frames_out"] == 0 for each in scores):
        raise CommandError(f"a session of {count} got no masked picture back")
    return scores


def _line(output: IO[str] | None) -> str:
    assert output is not None
    line = output.readline()
    if not line:
        raise CommandError("a client ended before it had a result; its reason stands above")
    return line


def _row(scores: Sequence[dict[str, Any]], objects: int) -> Sequence[str]:
    first = scores[0]

    def mean(name: str) -> float:
        return statistics.fmean(each[name] for each in scores)

    clicks = [ms for each in scores for ms in each["click_to_mask"].values()]
    return (
        str(first["model"]),
        f"{first['width']}x{first['height']}",
        str(len(scores)),
        str(objects),
        f"{mean('fps_in'):.1f}",
        f"{mean('fps_out'):.1f} ({min(each['fps_out'] for each in scores):.1f})",
        f"{mean('latency_p50'):.0f}",
        f"{mean('latency_p95'):.0f} ({max(each['latency_p95'] for each in scores):.0f})",
        f"{mean('server_latency_p50'):.0f} / {mean('server_latency_p95'):.0f}",
        f"{statistics.median(clicks):.0f}",
    )


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and min(int(width), int(height)) >= 64):
        raise CommandError(f"--sizes: expected sizes such as 640x480, got {text!r}")
    return int(width), int(height)
