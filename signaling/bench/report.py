"""Measurements as a dated block of Markdown at the end of a file, with the machine and the command."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.machine import accelerator

PACKAGES = ("torch", "sam2", "transformers", "aiortc", "av")


def append(path: Path, title: str, command: Sequence[str], header: Sequence[str], rows: Sequence[Row]) -> str:
    """Write a block to the end of `path`; gives the block."""
    block = "\n".join(
        [
            f"### {title}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "",
            f"{machine()}. `{shlex.join(command)}`",
            "",
            *table(header, rows),
            "",
        ]
    )
    before = path.read_text() if path.is_file() else "# Benchmarks\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before.rstrip()}\n\n{block}")
    return block


Row = Sequence[str]


def table(header: Row, rows: Sequence[Row]) -> list[str]:
    """The lines of a Markdown table."""
    return [_line(header), _line(["---"] * len(header)), *(_line(row) for row in rows)]


def machine() -> str:
    """What it was measured on: processor, accelerator, load at the start, versions."""
    parts = [f"{_processor()}, {os.cpu_count()} cores"]
    if gpu := accelerator():
        parts.append(gpu)
    parts.append(f"load {os.getloadavg()[0]:.1f} at the end, Python {platform.python_version()}")
    return ", ".join(parts) + "; " + ", ".join(f"{name} {_version(name)}" for name in PACKAGES)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _line(cells: Row) -> str:
    return f"| {' | '.join(cells)} |"
