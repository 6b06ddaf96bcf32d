"""`livemask bench`: rows at the end of a file, and the service measured through real processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from checkpoint import Checkpoint

from engine.models import Model
from signaling.bench import hour, report, steps
from signaling.bench.client import Swing
from signaling.bench.held import Held
from signaling.cli import main
from signaling.command import CommandError


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
        (["steps", "--step-objects", "5"], "--step-objects: expected at most 4, got 5"),
        (["steps", "--step-frames", "0"], "--step-frames: expected 1 or more, got 0"),
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


def test_whole_steps_are_measured_in_every_way(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "load_model", lambda *_, **__: tiny_model)
    monkeypatch.setattr(steps.threads, "cores", lambda: 2)
    monkeypatch.setattr(steps, "SIZE", (160, 120))
    monkeypatch.setattr(steps, "WARM", 1)
    monkeypatch.setattr(steps, "TURNS", 2)
    rows = tmp_path / "rows.md"
    flags = ["--step-objects", "1,2", "--step-frames", "3"]
    assert main(["bench", "steps", *flags, "--out", str(rows)]) == 0
    found = [cells(line) for line in rows.read_text().strip().splitlines()[-8:]]
    each = ["1 thread", "2 threads"]
    ways = [way for alone in each for way in (alone, f"{alone}, as many encode the next picture")]
    assert [row[1:3] for row in found] == [[count, way] for count in "12" for way in ways]
    assert all(float(row[3]) > 0 and row[5] == "6" for row in found)


@pytest.fixture
def tiny_by_default(tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """What servers and commands load that are told no model."""
    monkeypatch.setenv("LIVEMASK_CHECKPOINT", str(tiny_checkpoint.weights))
    monkeypatch.setenv("LIVEMASK_CONFIG", str(tiny_checkpoint.config))


def cells(line: str) -> list[str]:
    """A row of a table in Markdown."""
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.usefixtures("tiny_by_default")
def test_the_service_is_measured_through_real_processes(tmp_path: Path) -> None:
    rows = tmp_path / "rows.md"
    flags = ["--sizes", "160x120", "--sessions", "2", "--session-seconds", "1", "--device", "cpu"]
    assert main(["bench", "service", *flags, "--out", str(rows)]) == 0
    row = cells(rows.read_text().strip().splitlines()[-1])
    assert row[:4] == ["tiny", "160x120", "2", "1"]
    assert float(row[5].split()[0]) > 0
    assert float(row[6]) > 0


@pytest.mark.usefixtures("tiny_by_default")
def test_the_api_is_measured_beside_the_command(tmp_path: Path) -> None:
    rows = tmp_path / "rows.md"
    flags = ["--clip-seconds", "0.3", "--jobs", "2", "--connections", "2", "--live-seconds", "0.5"]
    assert main(["bench", "fal", *flags, "--device", "cpu", "--out", str(rows)]) == 0
    requests, track, live = map(cells, rows.read_text().strip().splitlines()[-3:])
    assert (requests[0], requests[2]) == ("request", "2")
    assert float(requests[3]) > 0
    assert track[0].startswith("livemask track")
    assert (live[0], live[2]) == ("realtime", "2")
    assert 0 < float(live[5]) <= float(live[6])


def test_an_hour_is_measured_as_one_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four seconds of it, looked at more often."""
    monkeypatch.setattr(hour, "LOOK_SECONDS", 0.01)
    rows = tmp_path / "rows.md"
    status = main(["bench", "hour", "--hour-frames", "120", "--device", "cpu", "--out", str(rows)])
    row = cells(rows.read_text().strip().splitlines()[-1])
    assert status == (row[-1] != "nothing")
    assert row[0].startswith("fal-ai/sam-3/video-rle, 64x64")
    assert row[1] == "120"
    assert float(row[2]) > 0, "frames a second"
    assert all(float(side) > 0 for side in row[3].split(" -> ")), "MiB that the server holds"
    assert float(row[5]) > 0, "MiB of the answer"


def held(mebibytes: float) -> Held:
    return Held(round(mebibytes * 2**20), 20, 30, 10, 0, 0, 0.0)


def test_what_an_hour_holds_is_told_by_the_frame() -> None:
    flat = [(100 * index, held(200)) for index in range(20)]
    assert hour.row(2000, flat, 100, 2**20)[1:] == ("2000", "20", "200.0 -> 200.0", "0.00", "1.0", "nothing")
    grown = [(100 * index, held(200 + index)) for index in range(20)]
    assert hour.row(2000, grown, 100, 2**20)[3:5] == ("204.0 -> 219.0", "10.24")
    assert hour.row(2000, grown, 100, 2**20)[-1] == "memory"
    with pytest.raises(CommandError, match="expected 8 looks at the server, got 7"):
        hour.row(2000, flat[:7], 100, 2**20)
