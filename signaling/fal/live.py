"""A live input on a realtime connection: one picture with prompts in, the masks of that picture out.

Our extension of fal's realtime: `image_bytes` or `image_url` in each message, and one tracker that lasts as
long as the connection. Prompts are checked by the code that checks those of the WebRTC data channel.
"""

from __future__ import annotations

import asyncio
import base64
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.masks import mask_to_fal_rle
from engine.types import Frame, MaskSet, Placed, Prompt
from signaling.fal.pictures import BadPicture, decoded
from signaling.fal.sniff import IMAGES, SNIFF_BYTES, sniff
from signaling.fal.work import Lane
from stream.prompt_message import ACTING, PromptMessage, read_prompt_message
from stream.wire import Fields, Message, RequestId, WireError, request_id_of

PICTURE_FIELDS = ("image_bytes", "image_url")
OUTPUTS = ("rle", "png", "jpeg")
JPEG_QUALITY = 85


@dataclass(slots=True, eq=False)
class LiveInput:
    """One checked message. `prompts` begin with those of the `dropped` messages before it.

    The picture is in `data`, or to be fetched from `url` first, or in neither.
    """

    request_id: RequestId
    data: bytes | None
    url: str | None
    prompts: list[PromptMessage]
    output: str = "rle"
    apply_mask: bool = False
    dropped: int = 0
    came_at: float = field(default_factory=time.monotonic)


def is_live(message: Message) -> bool:
    """Whether a message is one of ours: it brings a picture, or only prompts."""
    return any(message.get(name) is not None for name in PICTURE_FIELDS) or message.get("video_url") is None


def read_live(message: Message) -> LiveInput:
    """Check a whole message.

    Raises:
        WireError: as `read_prompt_message`, and BAD_IMAGE, INVALID_INPUT for the picture's fields.
    """
    fields = Fields(message, request_id=request_id_of(message))
    data, url = _picture(fields)
    acts = any(message.get(name) not in (None, [], "") for name in ACTING if name != "apply_mask")
    if data is None and url is None and not acts:
        fields.refuse("INVALID_INPUT", "", "image_bytes, image_url or prompts", None)
    return LiveInput(
        request_id=fields.request_id,
        data=data,
        url=url,
        prompts=[read_prompt_message(_spelled(message))] if acts else [],
        output=fields.one_of("output_format", OUTPUTS) if fields.has("output_format") else "rle",
        apply_mask=fields.boolean("apply_mask", False),
    )


def merged(older: LiveInput, newer: LiveInput) -> LiveInput:
    """The newer message when the older one's picture is dropped: a prompt is never dropped."""
    newer.prompts = [*older.prompts, *newer.prompts]
    newer.dropped += older.dropped + 1
    if newer.data is None and newer.url is None:
        newer.data, newer.url = older.data, older.url
    return newer


class LiveTracker:
    """The tracker of one connection."""

    def __init__(self, lane: Lane, max_pixels: int) -> None:
        self._lane, self._max_pixels = lane, max_pixels
        self._index = -1
        self._picture: NDArray[np.uint8] | None = None

    def close(self) -> None:
        self._lane.close()

    async def step(self, asked: LiveInput) -> dict[str, Any]:
        """Follow everything onto the picture, carry out the prompts, and say where the objects are.

        A message without a picture acts on the last one.

        Raises:
            WireError: no picture yet, a picture that cannot be read, a place outside it, a prompt refused.
        """
        if asked.data is not None:
            self._picture = await asyncio.to_thread(
                read_live_picture, asked.data, self._max_pixels, asked.request_id
            )
        if self._picture is None:
            raise WireError(
                "INVALID_INPUT", "message: expected image_bytes or image_url first", asked.request_id
            )
        frame = Frame(self._index + 1, self._picture, captured_at=asked.came_at)
        prompts = _engine_prompts(asked.prompts, frame)
        began = time.monotonic()
        masks = await asyncio.wrap_future(self._lane.submit(frame, prompts, live=True))
        self._index += 1
        if masks.rejected and len(masks.rejected) == len(prompts):
            _, error = masks.rejected[0]
            raise WireError(error.code, str(error), asked.request_id)
        reply = await asyncio.to_thread(_reply, frame, masks, asked)
        reply["timings"] = {"inference": round(time.monotonic() - began, 4)}
        return reply


def read_live_picture(data: bytes, max_pixels: int, request_id: RequestId) -> NDArray[np.uint8]:
    """RGB uint8 [H, W, 3].

    Raises:
        WireError: BAD_IMAGE not a picture that we read, TOO_LARGE too many pixels (nothing is decoded then).
    """
    media = sniff(data[:SNIFF_BYTES])
    if media is None or media not in IMAGES:
        formats = ", ".join(known.content_type for known in IMAGES)
        raise WireError("BAD_IMAGE", f"image: expected {formats}, got something else", request_id)
    try:
        return np.array(decoded(io.BytesIO(data), media, max_pixels).convert("RGB"))
    except BadPicture as error:
        code = "TOO_LARGE" if error.large else "BAD_IMAGE"
        raise WireError(code, f"image: cannot be read ({error})", request_id) from error


def _picture(fields: Fields) -> tuple[bytes | None, str | None]:
    """Its bytes or its address, whichever the message has."""
    if fields.has("image_bytes"):
        data = fields.get("image_bytes")
        if isinstance(data, str):  # JSON has no bytes
            return _base64(fields, "image_bytes", data), None
        if not isinstance(data, bytes) or not data:
            fields.refuse("INVALID_INPUT", "image_bytes", "bytes of a picture", data)
        return data, None
    if not fields.has("image_url"):
        return None, None
    url = fields.text("image_url", 1 << 24)
    if not url.startswith("data:"):
        return None, url
    head, _, body = url.partition(",")
    if not head.endswith(";base64"):
        fields.refuse("INVALID_INPUT", "image_url", "a URL or a base64 data URI", url[:40])
    return _base64(fields, "image_url", body), None


def _base64(fields: Fields, name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        fields.refuse("INVALID_INPUT", name, "base64", text[:40])


def _spelled(message: Message) -> Message:
    """The message for the data channel's reader: fal's other spellings, without the picture."""
    plain = {name: value for name, value in message.items() if name not in PICTURE_FIELDS}
    points = [*(plain.get("prompts") or []), *(plain.pop("point_prompts", None) or [])]
    text = plain.pop("text_prompt", None)
    return {**plain, "prompts": points, "prompt": plain.get("prompt") or text or None}


def _engine_prompts(messages: Sequence[PromptMessage], frame: Frame) -> list[Prompt]:
    """Every prompt is about the picture that it came with or after, whatever frame it names."""
    return [
        replace(prompt, frame_index=None) if isinstance(prompt, Placed) else prompt
        for message in messages
        for prompt in message.engine_prompts(frame.width, frame.height, None)
    ]


def _reply(frame: Frame, masks: MaskSet, asked: LiveInput) -> dict[str, Any]:
    """One entry per object, ascending by id, in `rle`, `boxes`, `scores` and `metadata`."""
    reply: dict[str, Any] = {
        "frame_index": frame.index,
        "width": frame.width,
        "height": frame.height,
        "boxes": [list(found.box or ()) for found in masks.objects],
        "scores": [found.score for found in masks.objects],
        "metadata": [
            {
                "index": index,
                "object_id": found.object_id,
                "state": str(found.state),
                "score": found.score,
                "box": list(found.box) if found.box else None,
            }
            for index, found in enumerate(masks.objects)
        ],
    }
    if asked.request_id is not None:
        reply["request_id"] = asked.request_id
    if asked.dropped:
        reply["dropped"] = asked.dropped
    if masks.rejected:
        reply["rejected"] = [{"error": error.code, "reason": str(error)} for _, error in masks.rejected]
    if asked.output == "rle":
        reply["rle"] = [mask_to_fal_rle(found.mask) for found in masks.objects]
    else:
        content = _drawn(frame, masks, asked)
        content_type = f"image/{asked.output}"
        picture = {
            "content": content,
            "content_type": content_type,
            "width": frame.width,
            "height": frame.height,
        }
        reply["images"] = [picture]
    return reply


def _drawn(frame: Frame, masks: MaskSet, asked: LiveInput) -> bytes:
    """The masked picture with `apply_mask`, else the merged mask, white on black."""
    if asked.apply_mask:
        from engine.render import RenderMode, render

        image = Image.fromarray(render(frame, masks, RenderMode.OVERLAY))
    else:
        union = np.zeros((frame.height, frame.width), bool)
        for found in masks.objects:
            union |= found.mask
        image = Image.fromarray(union.astype(np.uint8) * 255)
    data = io.BytesIO()
    image.save(data, asked.output.upper(), quality=JPEG_QUALITY)
    return data.getvalue()
