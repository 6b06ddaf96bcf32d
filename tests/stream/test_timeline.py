import pytest

from stream.timeline import RTP_MODULUS, Timeline


def ticks(*pairs: tuple[float | None, float]) -> list[int]:
    timeline = Timeline()
    return [timeline.ticks(pts, captured_at) for pts, captured_at in pairs]


def test_follows_the_source_clock_and_not_the_jitter_of_receipt() -> None:
    assert ticks((5.0, 100.0), (5.1, 100.35), (5.2, 100.36)) == [0, 9000, 18000]


def test_a_source_without_a_clock_is_timed_by_receipt() -> None:
    assert ticks((None, 7.0), (None, 7.5), (None, 8.0)) == [0, 45000, 90000]


@pytest.mark.parametrize("jump", [1000.0, -3.0, 2**32 / 90000])
def test_a_jump_of_the_source_clock_is_bridged_by_the_time_of_receipt(jump: float) -> None:
    assert ticks((5.0, 10.0), (5.1, 10.1), (5.2 + jump, 10.3), (5.3 + jump, 10.4)) == [0, 9000, 27000, 36000]


def test_a_pause_of_both_clocks_is_kept() -> None:
    assert ticks((0.0, 0.0), (60.0, 60.0)) == [0, 60 * 90000]


def test_equal_times_still_rise() -> None:
    assert ticks((1.0, 5.0), (1.0, 5.0), (1.0, 5.0)) == [0, 1, 2]


def test_no_rounding_error_builds_up() -> None:
    timeline = Timeline()
    last = [timeline.ticks(i / 29.97, 50 + i / 29.97) for i in range(100_000)][-1]
    assert last == round(99_999 / 29.97 * 90000)


def test_rtp_timestamps_begin_at_the_origin_and_wrap() -> None:
    timeline = Timeline(RTP_MODULUS - 10)
    assert timeline.rtp_timestamp(0) == RTP_MODULUS - 10
    assert timeline.rtp_timestamp(15) == 5
