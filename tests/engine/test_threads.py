"""Half of the cores for torch, short spins, and the word of whoever set another number."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from engine.threads import cores

SHOW = """
import json, os
from engine.threads import share
print(json.dumps([share(), share(), os.environ.get("GOMP_SPINCOUNT")]))
"""


def _shown(**environment: str) -> list[object]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=clean | environment, capture_output=True, text=True, check=True
    )
    return list(json.loads(done.stdout))


def test_half_of_the_cores_and_short_spins() -> None:
    half = max(1, cores() // 2)
    assert _shown() == [half, half, "1000"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"OMP_NUM_THREADS": "2"}, [2, 2, "1000"]),
        ({"GOMP_SPINCOUNT": "77", "OMP_NUM_THREADS": "1"}, [1, 1, "77"]),
        ({"OMP_WAIT_POLICY": "active", "OMP_NUM_THREADS": "1"}, [1, 1, None]),
    ],
)
def test_what_the_environment_says_stands(given: dict[str, str], expected: list[object]) -> None:
    assert _shown(**given) == expected
