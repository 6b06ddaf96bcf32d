"""The main job, as a person does it: start, click, and see the mask where the click was."""

from __future__ import annotations

import numpy as np
import pytest
from driver import GREEN_AT, SCENE, Studio
from scene import GREEN, RED

from engine.masks import rle_to_mask

pytestmark = pytest.mark.browser


def test_a_click_masks_what_is_under_it(studio: Studio) -> None:
    studio.start_camera()
    studio.page.mouse.click(*studio.place(*GREEN_AT))
    truth = np.zeros((SCENE.height, SCENE.width), bool)
    x, y = SCENE.green(0)
    truth[y : y + SCENE.side, x : x + SCENE.side] = True

    def overlap() -> float:
        mask = rle_to_mask(studio.until_object(1)["rle"])
        return float((mask & truth).sum() / (mask | truth).sum())

    studio.until(
        lambda: overlap() > 0.9, "the mask is the square, once the camera's first blurred pictures are past"
    )
    found = studio.until_object(1)
    assert found["box"] == pytest.approx([*GREEN_AT, 0.1875, 0.25], abs=0.03)
    assert studio.objects() == ["Object 1"]
    assert studio.problems == []


def test_the_mask_is_in_the_video_that_came_back(studio: Studio) -> None:
    studio.start_camera()
    studio.tick("Clicked points on the picture", False)
    near = studio.place(GREEN_AT[0] + 0.04, GREEN_AT[1] + 0.05)
    before = studio.color_at(*near)
    assert np.abs(before - GREEN).max() < 40
    studio.page.mouse.click(*studio.place(*GREEN_AT))
    studio.until_object(1)
    studio.until(
        lambda: np.abs(studio.color_at(*near) - before).max() > 40, "the object is tinted on the screen"
    )
    corner = studio.color_at(*studio.place(0.9, 0.95))
    assert np.abs(corner - 128).max() < 25, "the background is as it was"


def test_right_click_shift_click_and_the_toggle_exclude(studio: Studio) -> None:
    studio.start_camera()
    spot = studio.place(*GREEN_AT)
    beside = studio.place(GREEN_AT[0] + 0.06, GREEN_AT[1])
    studio.page.mouse.click(*spot)
    studio.until_object(1)
    for count, act in enumerate(
        [
            lambda: studio.page.mouse.click(beside[0], beside[1], button="right"),
            lambda: (
                studio.page.keyboard.down("Shift"),
                studio.page.mouse.click(beside[0], beside[1] + 30),
                studio.page.keyboard.up("Shift"),
            ),
            lambda: (studio.page.click("#exclude"), studio.page.mouse.click(beside[0], beside[1] - 30)),
        ],
        start=2,
    ):
        act()
        studio.until(lambda count=count: len(studio.sent("prompts")) == count, "a prompt was sent")
    labels = [message["prompts"][0]["label"] for message in studio.sent("prompts")]
    ids = [message["prompts"][0]["object_id"] for message in studio.sent("prompts")]
    assert labels == [1, 0, 0, 0]
    assert ids == [1, 1, 1, 1]


def test_a_drag_is_a_box(studio: Studio) -> None:
    studio.start_camera()
    a = studio.place(GREEN_AT[0] - 0.1, GREEN_AT[1] - 0.14)
    b = studio.place(GREEN_AT[0] + 0.1, GREEN_AT[1] + 0.14)
    studio.page.mouse.move(*b)
    studio.page.mouse.down()
    studio.page.mouse.move(*a, steps=4)
    studio.page.mouse.up()
    studio.until_object(1)
    (message,) = studio.sent("box_prompts")
    (box,) = message["box_prompts"]
    corners = [box["x_min"], box["y_min"], box["x_max"], box["y_max"]]
    expected = [
        (GREEN_AT[0] - 0.1) * 320,
        (GREEN_AT[1] - 0.14) * 240,
        (GREEN_AT[0] + 0.1) * 320,
        (GREEN_AT[1] + 0.14) * 240,
    ]
    assert corners == pytest.approx(expected, abs=1.5)


def test_two_objects_and_removal(studio: Studio) -> None:
    studio.start_camera()
    studio.page.mouse.click(*studio.place(*GREEN_AT))
    studio.until_object(1)
    studio.page.keyboard.press("n")
    red = studio.until(lambda: find(studio, RED), "the red square is on the screen")
    studio.page.mouse.click(*red)
    studio.until_object(2)
    assert studio.objects() == ["Object 1", "Object 2"]
    studio.page.locator("#objects li").first.get_by_role("button", name="Remove").click()
    studio.until(lambda: studio.objects() == ["Object 2"], "the card is gone")
    studio.until(
        lambda: [o["object_id"] for o in studio.newest_result()["objects"]] == [2], "the object is gone"
    )


def find(studio: Studio, colour: tuple[int, int, int]) -> tuple[float, float] | None:
    """The middle of what has this colour on the page."""
    near = np.abs(studio.pixels().astype(int) - colour).max(axis=2) < 45
    if near.sum() < 500:
        return None
    rows, columns = np.nonzero(near)
    return float(np.median(columns)), float(np.median(rows))
