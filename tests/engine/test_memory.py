import pytest
import torch

from engine.memory import Entry, Limits, Memory

LIMITS = Limits(spatial=6, pointers=15, bank=2, pin_first=False)


def entry(frame: int) -> Entry:
    return Entry(frame, torch.full((4, 2), float(frame)), torch.full((8,), float(frame)))


def run(limits: Limits, prompted: set[int], frames: int) -> Memory:
    memory = Memory(limits)
    for frame in range(frames):
        memory = memory.condition(entry(frame)) if frame in prompted else memory.remember(entry(frame))
    return memory


def ages(memory: Memory, frame: int) -> tuple[list[int], list[int]]:
    slots, reads = memory.slots(frame), memory.reads(frame)
    for age, features in slots:
        assert age == 0 or float(features[0, 0]) == frame - age
    assert all(float(pointer[0]) == frame - age for age, pointer in reads)
    return [age for age, _ in slots], [age for age, _ in reads]


def test_reads_the_prompted_frame_and_the_last_of_the_tracked_ones() -> None:
    spatial, pointers = ages(run(LIMITS, {0}, 40), 40)
    assert spatial == [0, 6, 5, 4, 3, 2, 1]
    assert pointers == [40, *range(1, 16)]


def test_young_memories_are_read_before_the_rings_are_full() -> None:
    assert ages(run(LIMITS, {0}, 3), 3) == ([0, 2, 1], [3, 1, 2])


def test_a_prompted_frame_leaves_its_place_in_the_rings_empty() -> None:
    spatial, pointers = ages(run(LIMITS, {0, 17}, 20), 20)
    assert spatial == [0, 0, 6, 5, 4, 2, 1]
    assert pointers == [20, 3, 1, 2, *range(4, 16)]


def test_a_frame_that_leaves_the_bank_counts_as_tracked_while_it_is_young() -> None:
    """As upstream's `select_closest_cond_frames` with max_cond_frames_in_attn: the newest come first."""
    spatial, pointers = ages(run(LIMITS, {0, 15, 18}, 20), 20)
    assert spatial == [0, 0, 6, 4, 3, 1]
    assert pointers == [2, 5, 1, 3, 4, *range(6, 16)]
    spatial, pointers = ages(run(LIMITS, {15, 18, 19}, 20), 20)
    assert spatial == [0, 0, 6, 5, 4, 3]
    assert pointers == [1, 2, *range(3, 16)]
    spatial, pointers = ages(run(LIMITS, {15, 18, 19}, 22), 22)
    assert spatial == [0, 0, 6, 5, 2, 1]
    assert pointers == [3, 4, 1, 2, *range(5, 16)]


def test_the_first_prompted_frame_can_be_pinned() -> None:
    memory = run(Limits(6, 15, bank=3, pin_first=True), {0, 10, 20, 30, 40}, 50)
    assert [e.frame for e in memory.bank] == [0, 30, 40]
    memory = run(Limits(6, 15, bank=3, pin_first=False), {0, 10, 20, 30, 40}, 50)
    assert [e.frame for e in memory.bank] == [20, 30, 40]


def test_prompting_the_same_frame_again_replaces_its_memory() -> None:
    memory = Memory(LIMITS).condition(entry(0)).condition(entry(0))
    assert [e.frame for e in memory.bank] == [0]


def test_a_snapshot_is_not_changed_by_what_follows() -> None:
    before = run(LIMITS, {0}, 10)
    seen = ages(before, 10)
    before.remember(entry(10)).condition(entry(11))
    assert ages(before, 10) == seen


def test_what_is_held_stops_growing() -> None:
    sizes = {sum(t.nbytes for t in run(LIMITS, {0, 3}, frames).tensors()) for frames in (50, 51, 400)}
    assert len(sizes) == 1


def test_gaps_in_the_stream_let_memories_age() -> None:
    memory = run(LIMITS, {0}, 10).remember(entry(100))
    assert [e.frame for e in memory.ring] == [100]
    assert ages(memory, 101) == ([0, 1], [101, 1])


def test_a_frame_of_which_nothing_is_remembered_lets_nothing_age() -> None:
    memory = run(LIMITS, {0}, 40)
    later = memory.without_this().without_this()
    assert (memory.passed, later.passed, later.remember(entry(42)).passed) == (0, 2, 0)
    for before, after in zip(
        (memory.slots(40), memory.reads(40)[1:]), (later.slots(42), later.reads(42)[1:]), strict=True
    ):
        assert [age for age, _ in after] == [age for age, _ in before]


def test_of_tracked_frames_the_newest_are_kept_where_that_is_enough() -> None:
    few = Limits(spatial=6, pointers=15, newest=2, bank=2, pin_first=False)
    spatial, pointers = ages(run(few, {0}, 40), 40)
    assert spatial == [0, 2, 1]
    assert pointers == [40, *range(1, 16)]
    assert ages(run(few, {0}, 2), 2)[0] == [0, 1]


def test_a_bank_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        Limits(6, 15, bank=1)
