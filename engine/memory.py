"""What one object remembers: a bounded bank of prompted frames and two rings of tracked ones.

Bookkeeping only: entries are immutable, every change gives a new `Memory` that shares the old one's tensors,
so a snapshot is a reference. Knows no network and does no arithmetic on tensors.

SAM 2 reads, on frame t: the spatial memory of every conditioning frame (whatever its age) and of the last
`num_maskmem - 1` tracked frames; the object pointers of the same conditioning frames and of the last
`max_obj_ptrs_in_encoder - 1` tracked frames (`SAM2Base._prepare_memory_conditioned_features`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from engine.correlation import CorrelationFilter


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """The memory of one frame.

    Attributes:
        frame: index of the frame in its stream.
        features: [H * W, mem_dim] spatial memory, row by row.
        pointer: [hidden_dim] object pointer.
        pinned: the bank lets go of others first.
    """

    frame: int
    features: Tensor
    pointer: Tensor
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an object remembers.

    Attributes:
        spatial: greatest age in frames of a tracked frame's spatial memory.
        pointers: greatest age in frames of a tracked frame's pointer.
        newest: number of tracked frames whose spatial memory is kept, 0 for all that are young enough.
        bank: number of prompted frames kept, at least 2.
        pin_first: the bank keeps the first prompted frame and the newest others, instead of the newest.
    """

    spatial: int
    pointers: int
    newest: int = 0
    bank: int = 4
    pin_first: bool = True

    def __post_init__(self) -> None:
        if self.bank < 2:
            raise ValueError(f"the bank must hold at least 2 prompted frames, not {self.bank}")


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """All tuples ascend by frame.

    Attributes:
        overflowed: some prompted frame had to leave the bank.
        passed: frames since the newest tracked one of these that were followed and not remembered.
        filter: what tells where the object is, for presets with; None while there is nothing to follow.
    """

    limits: Limits
    bank: tuple[Entry, ...] = ()
    ring: tuple[Entry, ...] = ()
    pointers: tuple[tuple[int, Tensor], ...] = ()
    overflowed: bool = False
    passed: int = 0
    filter: CorrelationFilter | None = None

    def remember(self, entry: Entry) -> Memory:
        """Add a tracked frame, newer than all before; what is now too old to be read again is let go."""
        added = replace(
            self,
            ring=(*self.ring, entry),
            pointers=(*self.pointers, (entry.frame, entry.pointer)),
            passed=0,
        )
        return added._aged(entry.frame + 1)

    def condition(self, entry: Entry) -> Memory:
        """Add a prompted frame, or replace the memory of the newest frame by it.

        A frame that has to leave the bank counts as a tracked one for as long as it is young enough,
        as conditioning frames that upstream does not select do.
        """
        bank = sorted((*_without(self.bank, entry.frame), entry), key=lambda e: e.frame)
        kept = replace(
            self,
            ring=_without(self.ring, entry.frame),
            pointers=tuple(p for p in self.pointers if p[0] != entry.frame),
        )
        if len(bank) <= self.limits.bank:
            return replace(kept, bank=tuple(bank))._aged(entry.frame + 1)
        evicted = bank.pop(self._leaver(bank, entry))
        return replace(
            kept,
            bank=tuple(bank),
            ring=tuple(sorted((*kept.ring, evicted), key=lambda e: e.frame)),
            pointers=tuple(sorted((*kept.pointers, (evicted.frame, evicted.pointer)), key=lambda p: p[0])),
            overflowed=True,
        )._aged(entry.frame + 1)

    def without_this(self) -> Memory:
        """As it is after a frame of which nothing is remembered: nothing has aged."""
        return replace(self.drawn_up(1), passed=self.passed + 1)

    def drawn_up(self, by: int) -> Memory:
        """As if all tracked frames had been `by` frames later: where that many are left out before the next,
        ages count frames that were followed, as live. Prompted frames keep their age."""
        if by == 0:
            return self
        return replace(
            self,
            ring=tuple(replace(e, frame=e.frame + by) for e in self.ring),
            pointers=tuple((index + by, pointer) for index, pointer in self.pointers),
        )

    def lasting(self) -> Memory:
        """What stays however much time passes: the prompted frames."""
        return replace(self, ring=(), pointers=(), filter=None)

    def slots(self, frame: int) -> list[tuple[int, Tensor]]:
        """Spatial memories to read on `frame`, as (age, features); age 0 stands for a conditioning frame.

        In upstream's token order, which matters to the last bit only; without what is too old by then.
        """
        tracked = [(frame - e.frame, e.features) for e in self.ring]
        young = [slot for slot in tracked if slot[0] <= self.limits.spatial]
        return [(0, e.features) for e in self._bank_in_order()] + young

    def reads(self, frame: int) -> list[tuple[int, Tensor]]:
        """Object pointers to read on `frame`, as (age, pointer), in upstream's order, likewise."""
        bank = [(frame - e.frame, e.pointer) for e in self._bank_in_order()]
        tracked = [(frame - index, pointer) for index, pointer in reversed(self.pointers)]
        return bank + [read for read in tracked if read[0] <= self.limits.pointers]

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor held; one that is held twice comes twice."""
        for entry in (*self.bank, *self.ring):
            yield entry.features
            yield entry.pointer
        for _, pointer in self.pointers:
            yield pointer
        if self.filter is not None:
            yield from self.filter.tensors()

    def _bank_in_order(self) -> tuple[Entry, ...]:
        """As inserted; newest first once upstream would have had to select (`select_closest_cond_frames`)."""
        return self.bank[::-1] if self.overflowed else self.bank

    def _leaver(self, bank: list[Entry], newest: Entry) -> int:
        """Which entry of a bank too large has to go: the oldest that is neither kept first nor pinned."""
        oldest = 1 if self.limits.pin_first else 0
        free = [i for i in range(oldest, len(bank)) if not bank[i].pinned and bank[i] is not newest]
        return free[0] if free else oldest

    def _aged(self, frame: int) -> Memory:
        """Without what is too old to be read on `frame` and after it."""
        oldest_spatial, oldest_pointer = frame - self.limits.spatial, frame - self.limits.pointers
        return replace(
            self,
            ring=tuple(e for e in self.ring if e.frame >= oldest_spatial)[-self.limits.newest :],
            pointers=tuple(p for p in self.pointers if p[0] >= oldest_pointer),
        )


def _without(entries: tuple[Entry, ...], frame: int) -> tuple[Entry, ...]:
    return tuple(e for e in entries if e.frame != frame)
