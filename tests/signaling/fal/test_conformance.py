"""The table of docs/fal.md that says which test holds which line of fal's protocol: all of them are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# A file, by whose client, and in brackets what names of its tests contain or a remark.
NAMED = re.compile(r"`(?P<file>[\w/]*test_\w+\.py)`(?: (?:py|js))*(?: \((?P<inside>[^)]*)\))?")
QUOTED = re.compile(r"`(\w+)`")


def rows(page: str) -> list[tuple[str, str]]:
    """(line, tests) of the table under "Conformance"."""
    section = page.partition("\n## Conformance\n")[2].partition("\n## ")[0]
    table = [row.strip("| ").split(" | ") for row in section.splitlines() if row.startswith("| ")]
    return [(line, tests) for line, tests in table[1:]]


def names_of(path: Path) -> list[str]:
    """The tests of a file."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]
    return [name for name in names if name.startswith("test_")]


def missing(tests: str) -> list[str]:
    """What a row names and is not there; a row that names nothing lacks everything."""
    named = list(NAMED.finditer(tests))
    lacking = [] if named else [tests]
    for match in named:
        file = match["file"]
        path = ROOT / file if "/" in file else Path(__file__).with_name(file)
        if not path.is_file():
            lacking.append(file)
            continue
        there = names_of(path)
        parts = QUOTED.findall(match["inside"] or "")
        lacking += [f"{file}: {part}" for part in parts if not any(part in name for name in there)]
    return lacking


PAGE = rows((ROOT / "docs" / "fal.md").read_text())


@pytest.mark.parametrize(("line", "tests"), PAGE, ids=[line[:40] for line, _ in PAGE])
def test_what_the_page_names_is_there(line: str, tests: str) -> None:
    assert missing(tests) == [], line


def test_the_page_has_a_row_for_every_part_of_the_protocol() -> None:
    """The sixteen things that stock clients need, each by a word that stands in its row and in no other."""
    lines = [line for line, _ in PAGE]
    parts = (
        *(
            "run:",
            "submit:",
            "status:",
            "subscribe:",
            "result:",
            "cancel:",
            "repeat",
            "uploads:",
            "webhooks:",
        ),
        *("realtime connect", "realtime data", "realtime overload", "realtime errors", "Unauthorized"),
        *("CORS", "SAM:"),
    )
    assert {part: sum(part in line for line in lines) for part in parts} == dict.fromkeys(parts, 1)


@pytest.mark.parametrize(
    ("tests", "lacking"),
    [
        ("`test_queue.py` py (`cancelling`), `test_video.py`", []),
        ("`test_queue.py` (`no_such_thing`, `priority`)", ["test_queue.py: no_such_thing"]),
        ("`test_nothing.py`", ["test_nothing.py"]),
        ("`tests/engine/test_worker.py` (`live_streams`)", []),
        ("`tests/engine/test_nothing.py` (`x`)", ["tests/engine/test_nothing.py"]),
        ("`test_browser_client.py` js (camera without throttle)", []),
        ("looked at by hand", ["looked at by hand"]),
    ],
)
def test_a_row_that_names_what_is_not_there_is_found(tests: str, lacking: list[str]) -> None:
    assert missing(tests) == lacking
