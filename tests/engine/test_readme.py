"""The README's lines from Python, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from engine.synthetic import SyntheticClip

README = Path(__file__).parents[2] / "README.md"


def test_the_tracker_is_used_as_the_readme_says(capsys: pytest.CaptureFixture[str]) -> None:
    (lines, *_) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    clip = SyntheticClip(160, 120)
    names: dict[str, Any] = {"pictures": [clip.frame(index)[0] for index in range(3)]}
    exec(compile(lines, str(README), "exec"), names)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == ["1", "1", "1"]
    assert names["found"].mask.shape == (120, 160)
