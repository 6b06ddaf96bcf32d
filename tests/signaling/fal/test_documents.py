"""The snippets of docs/fal.md, as they stand there, in front of programs that know fal alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness import SIZE, Server

ROOT = Path(__file__).parents[3]
SNIPPET = re.compile(r"^\*\*(?P<title>[^*]+)\*\*[^`]*?```(?P<language>\w+)\n(?P<code>.*?)```", re.M | re.S)

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (ROOT / "node_modules" / "@fal-ai").is_dir(),
    reason="needs Node and `npm ci`",
)

PYTHON = """
import fal_client, json, sys
data = open(sys.argv[1], "rb").read()
asked = {"image_url": fal_client.upload(data, "image/jpeg"), "prompts": [{"x": 40, "y": 50}]}
width = fal_client.subscribe("fal-ai/sam2/image", asked)["image"]["width"]
with fal_client.realtime("fal-ai/sam-3/video-rle") as live:
    live.send({"image_bytes": data, "prompts": asked["prompts"]})
    print(json.dumps({"width": width, "frame": live.recv()["frame_index"]}))
"""
JAVASCRIPT = """
import {readFileSync} from "node:fs";
const data = readFileSync(process.env.JPEG);
const image_url = await fal.storage.upload(new File([data], "x.jpg", {type: "image/jpeg"}));
const prompts = [{x: 40, y: 50}];
const {data: {image}} = await fal.subscribe("fal-ai/sam2/image", {input: {image_url, prompts}});
"""
REALTIME = """
const frame = await new Promise((resolve, reject) => {
  const live = fal.realtime.connect("fal-ai/sam-3/video-rle", {
    onResult: (result) => { live.close(); resolve(result.frame_index); }, onError: reject,
  });
  live.send({image_bytes: new Uint8Array(data), prompts});
});
"""


def snippet(title: str, server: Server) -> str:
    """One snippet of the page, with the test's server in the place of the one it names."""
    text = (ROOT / "docs" / "fal.md").read_text()
    found = {match["title"]: match["code"] for match in SNIPPET.finditer(text)}
    assert "localhost:8000" in found[title], sorted(found)
    return found[title].replace("localhost:8000", server.host)


def printed(command: list[str], **environ: str) -> object:
    """The JSON that a program prints."""
    ended = subprocess.run(
        command,
        env={**os.environ, "FAL_KEY": "a:b", **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_python(server: Server, picture: Path) -> None:
    program = snippet("Python", server) + PYTHON
    assert printed([sys.executable, "-c", program, str(picture)]) == {"width": SIZE[0], "frame": 0}


@needs_node
def test_javascript(server: Server, picture: Path) -> None:
    program = snippet("JavaScript", server) + JAVASCRIPT + "console.log(image.width);"
    assert printed(["node", "--input-type=module", "-e", program], JPEG=str(picture)) == SIZE[0]


@needs_node
def test_javascript_over_realtime(server: Server, picture: Path) -> None:
    program = snippet("JavaScript", server) + snippet("JavaScript, realtime", server) + JAVASCRIPT
    program += REALTIME + "console.log(frame); process.exit(0);"
    node = ["node", "--experimental-websocket", "--input-type=module", "-e", program]
    assert printed(node, JPEG=str(picture)) == 0
