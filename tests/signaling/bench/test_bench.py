"""`livemask bench`: rows at the end of a file, and the service measured through real processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from checkpoint import Checkpoint

from signaling.bench import report
from signaling.bench.client import Swing
from signaling.cli import main


def test_blocks_are_added_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "docs" / "benchmarks.md"
    report.append(path, "Engine", ["livemask", "bench", "a b"], ("x", "y"), [("1", "2"), ("3", "4")])
    before = path.read_text()
    block = report.append(path, "Service", ["livemask", "bench"], ("z",), [("5",)])
    text = path.read_text()
    assert text.startswith(before.rstrip())
    assert text.endswith(block)
    assert "| x | y |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |" in text
    assert "`livemask bench 'a b'`" in text
    assert f"{os.cpu_count()} cores" in block


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["engine", "--objects", "1,x"], "--objects: expected positive numbers"),
        (["engine", "--models", "nonesuch"], "UNKNOWN_MODEL"),
        (["service", "--sizes", "640"], "--sizes: expected sizes"),
        (["service", "--sessions", "0"], "--sessions: expected positive numbers"),
        (["fal", "--connections", "none"], "--connections: expected positive numbers"),
        (["fal", "--jobs", "0"], "--jobs: expected positive numbers"),
    ],
)
def test_mistakes_are_told(
    flags: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *flags, "--out", str(tmp_path / "rows.md")]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "rows.md").exists()


def test_the_swing_goes_forth_and_back_without_a_jump() -> None:
    swing = Swing((64, 64), 6.0, 6)
    assert len(swing) == 180
    shown = [swing.picture(i).tobytes() for i in range(125)]
    forth = shown[:60]
    assert shown[60:119] == forth[-2::-1]
    assert shown[119:125] == forth[1:7]
    assert [message["object_id"] for message in swing.prompts()] == [1, 2, 3, 4, 5, 6]


def test_the_service_is_measured_through_real_processes(
    tmp_path: Path, tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEMASK_CHECKPOINT", str(tiny_checkpoint.weights))
    monkeypatch.setenv("LIVEMASK_CONFIG", str(tiny_checkpoint.config))
    rows = tmp_path / "rows.md"
    flags = ["--sizes", "160x120", "--sessions", "2", "--session-seconds", "1", "--device", "cpu"]
    assert main(["bench", "service", *flags, "--out", str(rows)]) == 0
    cells = rows.read_text().strip().splitlines()[-1].strip("| ").split(" | ")
    assert cells[:4] == ["tiny", "160x120", "2", "1"]
    assert float(cells[5].split()[0]) > 0
    assert float(cells[6]) > 0


def test_the_api_is_measured_beside_the_command(
    tmp_path: Path, tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEMASK_CHECKPOINT", str(tiny_checkpoint.weights))
    monkeypatch.setenv("LIVEMASK_CONFIG", str(tiny_checkpoint.config))
    rows = tmp_path / "rows.md"
    flags = ["--clip-seconds", "0.3", "--jobs", "2", "--connections", "2", "--live-seconds", "0.5"]
    assert main(["bench", "fal", *flags, "--device", "cpu", "--out", str(rows)]) == 0
    lines = rows.read_text().strip().splitlines()[-3:]
    requests, track, live = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert (requests[0], requests[2]) == ("request", "2")
    assert float(requests[3]) > 0
    assert track[0].startswith("livemask track")
    assert (live[0], live[2]) == ("realtime", "2")
    assert 0 < float(live[5]) <= float(live[6])
