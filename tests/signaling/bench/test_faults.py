"""What counts as a freeze, and as back."""

from __future__ import annotations

import pytest

from signaling.bench.faults import Outcome


def test_an_outcome_is_read_off_the_moments_of_pictures() -> None:
    before = [0.0, 0.1, 0.2]
    during = [1.0, 1.1, 1.9, 2.0]
    after = [3.5, 3.6, 9.0]
    outcome = Outcome.of([*before, *during, *after], began=0.25, ended=3.25)
    assert outcome.freezes == pytest.approx((0.8, 0.8, 1.5))
    assert outcome.longest == pytest.approx(1.5)
    assert outcome.back == pytest.approx(0.25)
    assert outcome.rate == pytest.approx(4 / 3)


def test_a_dark_wire_is_one_freeze_from_the_last_picture_to_the_next() -> None:
    outcome = Outcome.of([0.9, 1.0, 7.0, 7.1], began=1.5, ended=6.5)
    assert outcome.freezes == (6.0,)
    assert outcome.back == pytest.approx(0.5)
