"""The stock JavaScript client in Chromium, under fal's own names, with a camera, against the real service."""

from __future__ import annotations

import subprocess
from pathlib import Path

import chromium
import pytest
from harness import Secure
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[3]
ESBUILD = ROOT / "node_modules" / ".bin" / "esbuild"
PICTURES = 30

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.PATH is None, reason=chromium.MISSING),
    pytest.mark.skipif(not ESBUILD.exists(), reason="needs Node and `npm ci`"),
]


def bundle(path: Path) -> str:
    """The page's script with the client as npm gives it, as any bundler would put them together."""
    source = Path(__file__).parent / "node" / "camera.mjs"
    subprocess.run([ESBUILD, source, "--bundle", "--log-level=error", f"--outfile={path}"], check=True)
    return path.read_text()


def test_a_camera_through_the_stock_client(secure: Secure, tmp_path: Path) -> None:
    """Nothing in the page knows of this server: the browser resolves fal's names to it."""
    local = f"127.0.0.1:{secure.server.port}"
    rules = ",".join(f"MAP {name} {local}" for name in secure.hosts)
    script = bundle(tmp_path / "page.js")
    with sync_playwright() as playwright:
        # A page of the internet would be asked whether it may reach this machine.
        local_names = ["--disable-features=LocalNetworkAccessChecks", f"--host-resolver-rules={rules}"]
        arguments = [*chromium.FLAGS, "--ignore-certificate-errors", *local_names]
        browser = playwright.chromium.launch(executable_path=chromium.PATH, args=arguments)
        page = browser.new_page()
        # The page itself is anybody's: another origin, served from here.
        page.route(
            f"{secure.page}/", lambda route: route.fulfill(content_type="text/html", body="<title>Studio")
        )
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{secure.page}/")
        page.add_script_tag(content=script)
        out = page.evaluate("(count) => camera(count)", PICTURES)
        browser.close()
    assert problems == []
    assert out["live"] == {
        "errors": [],
        "size": [320, 240],
        "shown": [320, 240],
        "counted": PICTURES,
        "ordered": True,
        "newest": PICTURES - 1,
        "objects": [1],
    }
    assert out["refused"] == ["BAD_IMAGE", 0]
    assert out["image"] == {"updates": "COMPLETED", "id": 36, "type": "image/png", "wrong": True}
