"""A recording in numbers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.masks import rle_to_mask
from signaling.demo.footage import Masks
from signaling.demo.watch import Recording


@dataclass(frozen=True, slots=True)
class ObjectScore:
    """How one object was followed.

    Attributes:
        mean_iou: over `frames`. A frame on which the object is truly absent counts 1 if the mask is empty,
            else 0; on all others an empty mask counts 0.
        visible_iou: over the frames on which at least one of its pixels is in view; None if there are none.
        absent_empty: share of the other frames on which the mask was empty; None if there are none.
    """

    object_id: int
    frames: int
    mean_iou: float
    visible_iou: float | None
    absent_empty: float | None


@dataclass(frozen=True, slots=True)
class Score:
    """The report. Times are milliseconds.

    Attributes:
        frames_in: filmed by the camera, from the first moving picture to the last.
        frames_tracked: of which a result came back.
        frames_out: of which the masked picture came back.
        frames_dropped: of which it did not.
        latency_p50: from the moment of capture to the masked picture, decoded, in the client's hands.
        server_latency_p50: the server's own figure, from receipt to the encoder; last 300 frames.
        click_to_mask: by object, from sending the click to the first masked picture that shows its effect.
        mean_iou: mean over the objects; None where the truth is not known.
    """

    source: str
    width: int
    height: int
    model: str
    why: str
    seconds: float
    frames_in: int
    frames_tracked: int
    frames_out: int
    frames_dropped: int
    fps_in: float
    fps_out: float
    latency_p50: float | None
    latency_p95: float | None
    latency_max: float | None
    server_latency_p50: float | None
    server_latency_p95: float | None
    click_to_mask: Mapping[int, float]
    mean_iou: float | None
    objects: Sequence[ObjectScore]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def score(recording: Recording) -> Score:
    """The numbers of a recording. Only frames of the footage count, none from before the click."""
    footage, captured, seen = recording.footage, recording.captured, recording.seen
    waits = sorted(1e3 * (seen[i].at - captured[i]) for i in seen if i in captured)
    seconds = len(footage) / footage.fps
    server = recording.server["stats"]["latency_ms"]
    objects = object_scores(recording)
    return Score(
        source=footage.name,
        width=footage.width,
        height=footage.height,
        model=recording.health["model"]["name"],
        why=recording.health["model"]["why"],
        seconds=round(seconds, 2),
        frames_in=len(captured),
        frames_tracked=len(recording.results),
        frames_out=len(seen),
        frames_dropped=len(captured) - len(seen),
        fps_in=round(len(captured) / seconds, 1),
        fps_out=round(len(seen) / seconds, 1),
        latency_p50=percentile(waits, 0.5),
        latency_p95=percentile(waits, 0.95),
        latency_max=percentile(waits, 1.0),
        server_latency_p50=server["p50"],
        server_latency_p95=server["p95"],
        click_to_mask={i: round(1e3 * taken, 1) for i, taken in recording.clicks.items()},
        mean_iou=round(float(np.mean([each.mean_iou for each in objects])), 4) if objects else None,
        objects=objects,
    )


def object_scores(recording: Recording) -> list[ObjectScore]:
    """One for each object that was clicked; none where the truth is not known."""
    pairs: dict[int, list[tuple[float, bool]]] = {}
    for index, result in sorted(recording.results.items()):
        truth = recording.footage.truth(index)
        if truth is None:
            return []
        found = masks_of(result)
        for object_id in recording.clicks:
            mask = found.get(object_id)
            there = bool(truth[object_id].any())
            pairs.setdefault(object_id, []).append((iou(mask, truth[object_id]), there))
    return [_object_score(object_id, counted) for object_id, counted in sorted(pairs.items())]


def _object_score(object_id: int, counted: Sequence[tuple[float, bool]]) -> ObjectScore:
    visible = [value for value, there in counted if there]
    absent = [value for value, there in counted if not there]
    return ObjectScore(
        object_id,
        len(counted),
        round(float(np.mean([value for value, _ in counted])), 4),
        round(float(np.mean(visible)), 4) if visible else None,
        round(float(np.mean(absent)), 4) if absent else None,
    )


def masks_of(result: Mapping[str, Any]) -> Masks:
    """The masks in a `result` message, by object id."""
    return {each["object_id"]: rle_to_mask(each["rle"]) for each in result["objects"] if "rle" in each}


def iou(mask: NDArray[np.bool_] | None, truth: NDArray[np.bool_]) -> float:
    """Intersection over union; 1 when both are empty. No mask is an empty one."""
    if mask is None:
        return float(not truth.any())
    either = int((mask | truth).sum())
    return float((mask & truth).sum() / either) if either else 1.0


def percentile(ranked: Sequence[float], share: float) -> float | None:
    """Nearest-rank percentile of sorted values, to a tenth; None when there are none."""
    if not ranked:
        return None
    return round(ranked[min(int(share * len(ranked)), len(ranked) - 1)], 1)
