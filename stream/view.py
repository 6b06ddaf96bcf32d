"""How a session's masks are drawn, and what a message may change of it. Pure; docs/protocol.md 5.3."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace

from engine.palette import Colour
from engine.render import RenderMode
from stream.wire import Fields, Message

MODES = {str(mode): mode for mode in RenderMode}
COLOUR = re.compile("#[0-9a-fA-F]{6}")
OBJECT_ID_MAX = 2**31 - 1
HIDDEN = 64


@dataclass(frozen=True, slots=True)
class ViewChange:
    """What a message asks to change; None leaves as it is."""

    apply_mask: bool | None = None
    mode: RenderMode | None = None
    hidden: frozenset[int] | None = None
    background: Colour | None = None

    def __bool__(self) -> bool:
        return self != ViewChange()


@dataclass(frozen=True, slots=True)
class View:
    """How masks are drawn: `mode` when `apply_mask`, else plain; objects in `hidden` are not drawn."""

    apply_mask: bool = True
    mode: RenderMode = RenderMode.OVERLAY
    hidden: frozenset[int] = frozenset()
    background: Colour = (0, 0, 0)

    @property
    def drawn_mode(self) -> RenderMode:
        return self.mode if self.apply_mask else RenderMode.PLAIN

    def changed(self, change: ViewChange) -> View:
        named = {field.name: getattr(change, field.name) for field in fields(change)}
        return replace(self, **{name: value for name, value in named.items() if value is not None})

    def output(self) -> Message:
        """The `output` object as messages carry it."""
        background = "#{:02x}{:02x}{:02x}".format(*self.background)
        return {"mode": str(self.mode), "hidden": sorted(self.hidden), "background": background}


def read_view_change(message: Fields) -> ViewChange:
    """`apply_mask` and `output` of a message.

    Raises:
        WireError: as Fields.
    """
    apply_mask = message.boolean("apply_mask", True) if message.has("apply_mask") else None
    if not message.has("output"):
        return ViewChange(apply_mask)
    output = message.nested("output")
    return ViewChange(
        apply_mask,
        output.one_of("mode", MODES) if output.has("mode") else None,
        frozenset(read_object_ids(output, "hidden", HIDDEN)) if output.has("hidden") else None,
        _read_colour(output, "background") if output.has("background") else None,
    )


def _read_colour(output: Fields, name: str) -> Colour:
    text = output.text(name, 7)
    if not COLOUR.fullmatch(text):
        output.refuse("INVALID_INPUT", name, "a colour #rrggbb", text)
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def read_object_ids(message: Fields, field: str, most: int) -> tuple[int, ...]:
    """A list of distinct object ids.

    Raises:
        WireError: as Fields; INVALID_INPUT for a repeated id.
    """
    values = message.sequence(field, most)
    numbered = Fields(
        {f"{field}[{i}]": value for i, value in enumerate(values)}, message.path, message.request_id
    )
    ids = tuple(numbered.integer(f"{field}[{i}]", 0, OBJECT_ID_MAX) for i in range(len(values)))
    if len(set(ids)) != len(ids):
        message.refuse("INVALID_INPUT", field, "distinct object ids", values)
    return ids
