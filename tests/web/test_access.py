"""Usable by everybody: axe finds nothing serious, targets are large enough, states are announced.

Writes a picture of each main state to build/screens, to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from colour_server import Server
from driver import GREEN_AT, Studio
from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

SCREENS = Path(__file__).parents[2] / "build" / "screens"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
SIZES = {"desk": (1280, 800), "phone": (390, 844)}


@pytest.fixture(params=[("desk", "dark"), ("phone", "light")], ids="-".join)
def page_kind(
    request: pytest.FixtureRequest, browser: Browser, server: Server
) -> Iterator[tuple[str, Studio]]:
    size, scheme = request.param
    width, height = SIZES[size]
    touch = {"has_touch": True, "device_scale_factor": 2} if size == "phone" else {}
    still = {"reduced_motion": "reduce"}  # pictures of states, not of the way between them
    kind = {"viewport": {"width": width, "height": height}, "color_scheme": scheme, **still, **touch}
    with Studio.open(browser, server.url, bypass_csp=True, **kind) as studio:
        yield f"{size}-{scheme}", studio


def check(studio: Studio, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    studio.page.evaluate("scrollTo(0, 0)")
    studio.page.screenshot(path=SCREENS / f"{name}.png")
    found = Axe().run(studio.page, options=RULES).response["violations"]
    serious = {
        rule["id"]: [node["html"][:120] for node in rule["nodes"]]
        for rule in found
        if rule["impact"] in ("serious", "critical", "moderate")
    }
    assert serious == {}, name


def test_main_states(page_kind: tuple[str, Studio]) -> None:
    name, studio = page_kind
    check(studio, f"{name}-start")
    studio.start_camera()
    check(studio, f"{name}-live")
    studio.page.mouse.click(*studio.place(*GREEN_AT))
    studio.until_object(1)
    for section in studio.page.locator("details.section summary").all():
        section.click()
    studio.page.click("#stats")
    studio.until(lambda: "VP8" in studio.page.locator("#hud").inner_text(), "the numbers come")
    check(studio, f"{name}-object")
    studio.page.screenshot(path=SCREENS / f"{name}-panel.png", full_page=True)
    small = studio.page.evaluate(
        """(least) => [...document.querySelectorAll("button, summary, select, input")]
             .filter((control) => control.checkVisibility() && control.type !== "checkbox")
             .map((control) => [control.id || control.className, control.getBoundingClientRect()])
             .filter(([, box]) => box.width < least || box.height < least)
             .map(([name, box]) => `${name} ${Math.round(box.width)} x ${Math.round(box.height)}`)""",
        24,
    )
    assert small == []
    studio.page.click("#stats")
    studio.page.click("#freeze")
    studio.until_condition("frozen")
    check(studio, f"{name}-frozen")
    studio.page.click("#freeze")
    studio.page.click("#compare")
    studio.until(lambda: not studio.received("state")[-1]["apply_mask"], "both are painted here")
    check(studio, f"{name}-compare")
    studio.page.click("#compare")
    studio.page.click("#snapshot-menu summary")
    check(studio, f"{name}-menu")
    studio.page.keyboard.press("Escape")
    studio.page.keyboard.press("?")
    check(studio, f"{name}-help")
    studio.page.keyboard.press("Escape")
    studio.page.click("#stop")
    studio.until_condition("idle")
    studio.page.evaluate("() => Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")
    studio.page.click("#start-camera")
    studio.until_condition("INSECURE")
    check(studio, f"{name}-insecure")


def test_status_is_announced_and_motion_can_be_off(browser: Browser, server: Server) -> None:
    with Studio.open(browser, server.url, reduced_motion="reduce") as studio:
        status = studio.page.get_by_role("status")
        assert status.get_attribute("aria-live") == "polite"
        studio.start_camera()
        assert status.inner_text() == "Live"
        studio.page.mouse.click(*studio.place(*GREEN_AT))
        studio.until_object(1)
        said = studio.page.locator("#announcer")
        studio.until(lambda: said.text_content() == "Object 1: tracking", "the object is announced")
        moving = studio.page.evaluate("document.getAnimations().length")
        assert moving == 0


def test_focus_is_visible_and_goes_round(studio: Studio) -> None:
    seen = []
    for _ in range(40):
        studio.page.keyboard.press("Tab")
        seen.append(
            studio.page.evaluate(
                """() => { const at = document.activeElement;
                  return [at.id || at.className || at.tagName, getComputedStyle(at).outlineStyle]; }"""
            )
        )
        if seen[-1][0] == "BODY":
            break
    names = [name for name, _ in seen]
    assert {"start-camera", "start-sample", "stats", "mode-overlay", "new-object"} <= set(names)
    assert all(outline != "none" for name, outline in seen if name != "BODY")
