"""What was done to one object, so that it can be done again, undone and done on frames that have passed.

An object between two frames is what it remembered before some frame, and what was done to it since: the
deeds. Bookkeeping only; every change gives a new `Story`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from engine.history import Held
from engine.types import EngineError, Placed

DEEDS = 32  # that can be undone; the oldest are let go


@dataclass(frozen=True, slots=True, eq=False)
class Deed:
    """One prompt on the frame it was made on.

    Attributes:
        before: what the object remembered before that frame; None if the deed made it.
    """

    frame: int
    prompt: Placed
    before: Held | None


@dataclass(frozen=True, slots=True, eq=False)
class Undone:
    """A deed that was taken back when frame `at` was the newest; the object remembered `held` before that."""

    deed: Deed
    at: int
    held: Held | None


@dataclass(frozen=True, slots=True, eq=False)
class Story:
    """One object's deeds in the order they were done, which need not be that of their frames."""

    serial: int
    deeds: tuple[Deed, ...] = ()
    undone: tuple[Undone, ...] = ()

    def script(self, frame: int) -> list[Placed]:
        """What was done on a frame, in order."""
        return [deed.prompt for deed in self.deeds if deed.frame == frame]

    def first(self, since: int) -> int | None:
        """The first frame from `since` on that something was done on."""
        return min((deed.frame for deed in self.deeds if deed.frame >= since), default=None)

    def done(self, deed: Deed, oldest: int) -> Story:
        """One deed more; nothing can be redone then.

        Args:
            oldest: the oldest frame that may still be gone back to.

        Raises:
            EngineError: TOO_MANY, when all of the deeds are too young to be let go.
        """
        deeds = (*self.deeds, deed)
        if len(deeds) > DEEDS:
            if deeds[0].frame >= oldest:
                raise EngineError("TOO_MANY", f"expected at most {DEEDS} prompts on one object at a time")
            deeds = deeds[1:]
        return replace(self, deeds=deeds, undone=())

    def without(self, prompt: Placed) -> Story:
        """As if a prompt had never come."""
        return replace(self, deeds=tuple(d for d in self.deeds if d.prompt is not prompt))

    def back(self, at: int, held: Held | None) -> tuple[Story, Deed]:
        """Without the last deed, which can be redone; and that deed.

        Raises:
            EngineError: NOTHING_TO_UNDO.
        """
        if not self.deeds:
            raise EngineError("NOTHING_TO_UNDO", "nothing that can be undone was done to this object")
        deed = self.deeds[-1]
        undone = (*self.undone, Undone(deed, at, held))
        return replace(self, deeds=self.deeds[:-1], undone=undone), deed

    def again(self) -> tuple[Story, Undone]:
        """With the deed that was undone last; and that.

        Raises:
            EngineError: NOTHING_TO_REDO.
        """
        if not self.undone:
            raise EngineError("NOTHING_TO_REDO", "nothing of this object was undone last")
        undone = self.undone[-1]
        return replace(self, deeds=(*self.deeds, undone.deed), undone=self.undone[:-1]), undone

    def rebased(self, since: int, past: Mapping[int, Held]) -> Story:
        """After the object's past from frame `since` on has become another."""
        return replace(
            self,
            deeds=tuple(
                replace(deed, before=past.get(deed.frame)) if deed.frame >= since else deed
                for deed in self.deeds
            ),
        )

    def settled(self, oldest: int) -> Story:
        """Of what lies before frame `oldest` only what lasts."""
        return replace(
            self,
            deeds=tuple(_settled(deed, oldest) for deed in self.deeds),
            undone=tuple(_undone_settled(undone, oldest) for undone in self.undone),
        )

    def tensors(self) -> Iterator[Tensor]:
        held = [*(d.before for d in self.deeds)]
        held += [h for u in self.undone for h in (u.deed.before, u.held)]
        for each in held:
            if each is not None:
                yield from each.memory.tensors()


def _settled(deed: Deed, oldest: int) -> Deed:
    if deed.frame >= oldest or deed.before is None:
        return deed
    return replace(deed, before=deed.before.lasting())


def _undone_settled(undone: Undone, oldest: int) -> Undone:
    held = undone.held
    if undone.at < oldest and held is not None:
        held = held.lasting()
    return replace(undone, deed=_settled(undone.deed, oldest), held=held)
