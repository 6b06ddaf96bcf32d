"""What each endpoint takes and gives, as fal documents it (both spellings where its documents differ).

Values are checked here as far as the JSON alone shows; what needs the picture (a point outside it) is
checked when the job has it. Unknown fields are ignored and null counts as absent, as on fal.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

OBJECT_ID_MAX = 2**31 - 1
FRAME_MAX = 2**31 - 1
SIDE_MAX = 1 << 16
MAX_POINTS = 1000
MAX_BOXES = 256
MP4: Final = "X264 (.mp4)"
WEBM: Final = "VP9 (.webm)"
OF_OBJECT = "Prompts sharing an object id refine the same object"
ON_FRAME = "The frame to interact with; the first by default"


def _label(value: object) -> object:
    """The released JavaScript client types labels as "0" and "1", the documents as 0 and 1."""
    return int(value) if isinstance(value, str) and value in ("0", "1") else value


Label = Annotated[Literal[0, 1], BeforeValidator(_label)]
Pixel = Annotated[int, Field(ge=0, le=SIDE_MAX)]
ObjectId = Annotated[int, Field(ge=0, le=OBJECT_ID_MAX)]
FrameIndex = Annotated[int, Field(ge=0, le=FRAME_MAX)]


class Fields(BaseModel):
    """A JSON object in which null counts as absent."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {name: value for name, value in values.items() if value is not None}
        return values


class Prompt(Fields):
    """Common to clicks and boxes: whose they are, and on which frame."""

    object_id: ObjectId | None = Field(None, description=OF_OBJECT)
    frame_index: FrameIndex | None = Field(None, description=ON_FRAME)


class PointPrompt(Prompt):
    """A click, in pixels of the source."""

    x: Pixel = 305
    y: Pixel = 350
    label: Label = Field(1, description="1 for foreground, 0 for background")
    object_id: ObjectId | None = Field(
        None, description="Prompts sharing an object id refine the same object"
    )
    frame_index: FrameIndex | None = Field(
        None, description="The frame to interact with; the first by default"
    )


class BoxPrompt(Prompt):
    """A box, in pixels of the source."""

    x_min: Pixel = 0
    y_min: Pixel = 0
    x_max: Pixel = 0
    y_max: Pixel = 0
    object_id: ObjectId | None = Field(None, description="Boxes sharing an object id refine the same object")
    frame_index: FrameIndex | None = Field(
        None, description="The frame to interact with; the first by default"
    )


class ImageInput(Fields):
    """Common to the endpoints that take a picture."""

    image_url: str = Field(min_length=1, description="URL or data URI of the picture")
    sync_mode: bool = Field(False, description="Answer with data URIs instead of URLs")


class Sam2ImageInput(ImageInput):
    prompts: list[PointPrompt] = Field([], max_length=MAX_POINTS)
    box_prompts: list[BoxPrompt] = Field([], max_length=MAX_BOXES)
    apply_mask: bool = Field(False, description="Draw the mask on the picture instead of giving the mask")
    output_format: Literal["png", "jpeg", "webp"] = "png"


class AutoSegmentInput(ImageInput):
    points_per_side: int = Field(32, ge=1, le=64)
    pred_iou_thresh: float = Field(0.88, ge=0, le=1)
    stability_score_thresh: float = Field(0.95, ge=0, le=1)
    min_mask_region_area: int = Field(100, ge=0)
    output_format: Literal["png", "jpeg"] = "png"


class VideoInput(Fields):
    """Common to the endpoints that take a video."""

    video_url: str = Field(min_length=1, description="URL or data URI of the video")
    mask_url: str | None = Field(
        None, min_length=1, description="URL or data URI of a first mask, white on black"
    )
    prompts: list[PointPrompt] = Field([], max_length=MAX_POINTS)
    box_prompts: list[BoxPrompt] = Field([], max_length=MAX_BOXES)
    apply_mask: bool = Field(False, description="Draw the masks on the video")
    boundingbox_zip: bool = Field(False, description="Give a zip of per-frame bounding box overlays as well")
    sync_mode: bool = Field(False, description="Answer with data URIs instead of URLs")
    frame_index: FrameIndex = Field(0, description="The frame that mask_url is of")

    @property
    def points(self) -> list[tuple[tuple[str, int], PointPrompt]]:
        """Every click with the place where it stands in the input."""
        return [(("prompts", index), point) for index, point in enumerate(self.prompts)]

    @property
    def text(self) -> str:
        return ""


class Sam2VideoInput(VideoInput):
    """fal-ai/sam2/video"""


class Sam3VideoRleInput(VideoInput):
    """fal-ai/sam-3/video-rle. `prompt` and `text_prompt` are one field, as are `prompts` and
    `point_prompts`.
    """

    point_prompts: list[PointPrompt] = Field([], max_length=MAX_POINTS)
    prompt: str = Field("", max_length=2000)
    text_prompt: str = Field("", max_length=2000)
    detection_threshold: float = Field(0.5, ge=0, le=1)
    video_output_type: Literal["X264 (.mp4)", "VP9 (.webm)"] = MP4

    @property
    def points(self) -> list[tuple[tuple[str, int], PointPrompt]]:
        more = [(("point_prompts", index), point) for index, point in enumerate(self.point_prompts)]
        return [*super().points, *more]

    @property
    def text(self) -> str:
        return self.prompt.strip() or self.text_prompt.strip()


class Sam3VideoInput(Sam3VideoRleInput):
    """fal-ai/sam-3/video"""

    apply_mask: bool = Field(True, description="Draw the masks on the video")


class File(BaseModel):
    """A file that the server made, by URL or (sync_mode) as a data URI."""

    url: str
    content_type: str
    file_name: str
    file_size: int


class Image(File):
    width: int
    height: int


class MaskMetadata(BaseModel):
    """`box` is normalised [cx, cy, w, h]; absent when the mask is empty."""

    index: int
    score: float | None = None
    box: list[float] | None = None


class Sam2ImageOutput(BaseModel):
    image: Image


class AutoSegmentOutput(BaseModel):
    combined_mask: Image
    individual_masks: list[Image]


class VideoOutput(BaseModel):
    video: File
    boundingbox_frames_zip: File | None = None


class VideoRleOutput(BaseModel):
    """One entry per frame in `rle` ("start length" pairs, 1-based, row-major), `boxes`, `scores`, `metadata`.

    A long result has them in one JSON file instead: then `rle` is a File, and the others are inside it.
    """

    rle: list[str] | File
    boxes: list[list[float]] | None = None
    scores: list[float] | None = None
    metadata: list[MaskMetadata] | None = None
    video: File | None = None
    boundingbox_frames_zip: File | None = None


class HttpError(BaseModel):
    detail: str
    error_type: str | None = None


class ValidationEntry(BaseModel):
    loc: list[str | int]
    msg: str
    type: str
    input: Any = None
    ctx: dict[str, Any] | None = None


class HttpValidationError(BaseModel):
    detail: list[ValidationEntry] | str
