"""Firefox by WebDriver BiDi, which it speaks itself; Playwright drives only builds of its own.

https://w3c.github.io/webdriver-bidi/
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

PATH = shutil.which("firefox-esr") or shutil.which("firefox")
MISSING = "no Firefox on PATH (Debian: apt-get install firefox-esr)"
PREFERENCES = {"media.navigator.permission.disabled": True, "app.update.enabled": False}
ANSWER_S = 60


class Firefox:
    """One headless Firefox with one page."""

    def __init__(self, wire: ClientConnection) -> None:
        self._wire = wire
        self._numbers = itertools.count(1)
        self.command("session.new", capabilities={})
        self._page = self.command("browsingContext.getTree")["contexts"][0]["context"]

    @classmethod
    @contextmanager
    def open(cls, profile: Path) -> Iterator[Self]:
        """Started with a profile of its own in an empty folder, ended on exit."""
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()
        ]
        (profile / "user.js").write_text("\n".join(lines))
        said = profile / "said.txt"
        command = [
            str(PATH),
            "--headless",
            "--no-remote",
            "--profile",
            str(profile),
            "--remote-debugging-port",
            "0",
        ]
        with said.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
            try:
                with connect(_address(said) + "/session", max_size=None, open_timeout=ANSWER_S) as wire:
                    yield cls(wire)
            finally:
                process.terminate()
                process.wait(timeout=ANSWER_S)

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._wire.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := json.loads(self._wire.recv(timeout=ANSWER_S))).get("id") != number:
            pass
        assert answer["type"] == "success", answer
        return dict(answer["result"])

    def before_each_page(self, script: str) -> None:
        self.command("script.addPreloadScript", functionDeclaration=f"() => {{ {script} }}")

    def goto(self, url: str) -> None:
        self.command("browsingContext.navigate", context=self._page, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, awaited; it must survive JSON."""
        told = self.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify((await ({expression})) ?? null))()",
            target={"context": self._page},
            awaitPromise=True,
        )
        assert told["type"] == "success", told
        return json.loads(told["result"]["value"])

    def until(self, expression: str, what: str, seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
            time.sleep(0.05)  # between two looks
        return value

    def press(self, x: float, y: float, meanwhile: Callable[[], Any]) -> Any:
        """The mouse is pressed at a spot of the page and released again; gives what was seen meanwhile."""
        move = {"type": "pointerMove", "x": round(x), "y": round(y)}
        self._pointer(move, {"type": "pointerDown", "button": 0})
        seen = meanwhile()
        self._pointer({"type": "pointerUp", "button": 0})
        return seen

    def _pointer(self, *actions: dict[str, Any]) -> None:
        mouse = {"type": "pointer", "id": "mouse", "actions": list(actions)}
        self.command("input.performActions", context=self._page, actions=[mouse])


def _address(said: Path) -> str:
    """Where Firefox listens, once it says so."""
    deadline = time.monotonic() + ANSWER_S
    while not (found := re.search(r"WebDriver BiDi listening on (ws://\S+)", said.read_text())):
        assert time.monotonic() < deadline, f"Firefox did not start:\n{said.read_text()}"
        time.sleep(0.05)  # between two looks
    return found[1]
