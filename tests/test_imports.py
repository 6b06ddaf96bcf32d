"""Imports run one way: signaling -> stream -> engine; stream never reaches torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("engine", "stream", "signaling")
MAY_IMPORT = {"engine": {"engine"}, "stream": {"engine", "stream"}, "signaling": set(ROOMS)}
ASYNC_AND_NETWORK = {"asyncio", "socket", "http", "aiortc", "starlette", "uvicorn", "av"}
# The bundled model's recipe reads clips for its evaluation; the engine proper decodes nothing.
OFFLINE = {Path("engine/training")}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file, as a dotted name."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write it in full"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_downwards_only(room: str) -> None:
    upward = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(room)
        for name in imports(path)
        if name.split(".")[0] in set(ROOMS) - MAY_IMPORT[room] or name.split(".")[0] in ("tests", "web")
    }
    assert not upward


@pytest.mark.parametrize("room", ["stream", "signaling"])
def test_only_the_engine_names_torch(room: str) -> None:
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(room)
        for name in imports(path)
        if name.split(".")[0] in ("torch", "torchvision", "sam2")
    }
    assert not found


def test_engine_knows_no_event_loop_and_no_network() -> None:
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files("engine")
        if not any(folder in path.relative_to(ROOT).parents for folder in OFFLINE)
        for name in imports(path)
        if name.split(".")[0] in ASYNC_AND_NETWORK
    }
    assert not found


def test_nobody_imports_torchvision() -> None:
    found = {str(path) for room in ROOMS for path in files(room) if "torchvision" in set(imports(path))}
    assert not found


def test_importing_all_of_stream_loads_no_torch() -> None:
    """What the files name is not all: something that they import could import torch in turn."""
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files("stream")]
    names = [name.removesuffix(".__init__") for name in modules]
    load = f"[importlib.import_module(name) for name in {names!r}]"
    code = f"import sys, importlib\n{load}\nprint('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "False"
