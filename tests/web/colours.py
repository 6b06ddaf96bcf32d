"""The engine of the page's tests: `tests/stream/scene.py`'s colours, with undo and its like.

What was done to an object is a list of the colours that it has been; undo goes back in it, as the real
engine's stories do.
"""

from __future__ import annotations

from collections.abc import Sequence

from scene import ColourEngine

from engine.types import (
    EngineError,
    Frame,
    Keep,
    MaskSet,
    Pin,
    Prompt,
    Redo,
    Release,
    Remove,
    Reset,
    Restart,
    Restore,
    Undo,
)

Colour = tuple[int, int]


class StoryEngine(ColourEngine):
    """Remembers on which frame each prompt was carried out."""

    def __init__(self) -> None:
        super().__init__(most=16, kept=300)
        self.done: dict[int, list[Colour]] = {}
        self.undone: dict[int, list[Colour]] = {}
        self.gone: dict[int, list[Colour]] = {}
        self.applied: list[tuple[Prompt, int]] = []

    async def preview(self, prompts: Sequence[Prompt]) -> MaskSet:
        for prompt in prompts:
            self._seen(self.past[max(self.past)], prompt)
        clicked = [prompt for prompt in prompts if not isinstance(prompt, Pin | Restart)]
        return await super().preview(clicked or prompts)

    def _apply(self, frame: Frame, prompt: Prompt) -> None:
        if isinstance(prompt, Keep | Release):
            return super()._apply(frame, prompt)
        self.applied.append((prompt, frame.index))
        match prompt:
            case Reset():
                super()._apply(frame, prompt)
                for story in (self.done, self.undone, self.gone):
                    story.clear()
            case Remove(object_id=object_id):
                super()._apply(frame, prompt)
                self.gone[object_id] = self.done.pop(object_id)
            case Restore(object_id=object_id):
                self._put(object_id, self._taken(self.gone, object_id, "NOTHING_TO_RESTORE"))
            case Undo(object_id=object_id):
                *rest, last = self._taken(self.done, object_id, "NOTHING_TO_UNDO")
                self.undone.setdefault(object_id, []).append(last)
                self._put(object_id, rest)
            case Redo(object_id=object_id):
                if not self.undone.get(object_id):
                    raise EngineError("NOTHING_TO_REDO", f"nothing of object {object_id} was undone")
                again = self.undone[object_id].pop()
                self._put(object_id, [*self.done.get(object_id, []), again])
            case Pin(object_id=object_id) | Restart(object_id=object_id):
                if object_id not in self.colours:
                    raise EngineError("UNKNOWN_OBJECT", f"no object {object_id}")
                self._note(object_id)
            case _:
                super()._apply(frame, prompt)
                self._note(getattr(prompt, "object_id", 0))

    def _note(self, object_id: int) -> None:
        self.done.setdefault(object_id, []).append(self.colours[object_id])
        self.undone.pop(object_id, None)

    def _taken(self, stories: dict[int, list[Colour]], object_id: int, code: str) -> list[Colour]:
        if not stories.get(object_id):
            raise EngineError(code, f"object {object_id} has nothing of the kind")
        return stories.pop(object_id)

    def _put(self, object_id: int, story: list[Colour]) -> None:
        self.colours.pop(object_id, None)
        if story:
            self.done[object_id] = story
            self.colours[object_id] = story[-1]
        else:
            self.done.pop(object_id, None)
