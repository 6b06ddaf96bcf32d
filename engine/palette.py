"""One colour per object, told apart by colour-blind eyes too.

The first seven are Okabe and Ito's (https://jfly.uni-koeln.de/color/) without black, the strongest first; the
rest were chosen to stay farthest from all before them under protan-, deutera- and tritanopia (Machado 2009).
"""

from __future__ import annotations

from typing import Final

Colour = tuple[int, int, int]

COLOURS: Final[tuple[Colour, ...]] = (
    (0, 114, 178),  # blue
    (230, 159, 0),  # orange
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (86, 180, 233),  # sky blue
    (213, 94, 0),  # vermilion
    (240, 228, 66),  # yellow
    (135, 15, 255),  # violet
    (111, 39, 15),  # brown
    (183, 231, 159),  # pale green
    (63, 63, 87),  # slate
    (15, 255, 231),  # cyan
)


def colour_of(object_id: int) -> Colour:
    """RGB, 0..255, of an object: object 1 has the first colour; after the last they begin again."""
    return COLOURS[(object_id - 1) % len(COLOURS)]


def hex_colour(object_id: int) -> str:
    """The same as CSS writes it, `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour_of(object_id))


def yuv(colour: Colour) -> Colour:
    """RGB 0..255 as Y, U, V of BT.601 in limited range, the colours of `Frame`'s planar pictures."""
    r, g, b = colour
    y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    u = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    v = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    return round(y), round(u), round(v)
