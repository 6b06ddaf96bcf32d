"""The compose files and the Dockerfile, held against what they name; Docker itself is not needed."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aioice.turn
import jsonschema
import pytest
import yaml
from turn_server import turn_server

from signaling import serve
from signaling.fal.command import add_arguments as add_keys
from signaling.settings import read_settings
from signaling.turn import credentials

ROOT = Path(__file__).parents[1]
COMPOSE = ("compose.yaml", "compose.cuda.yaml")
SCHEMA = ROOT / "node_modules" / "dclint" / "schemas" / "compose.schema.json"
DOCUMENTS = ("docs/deploy.md", "README.md", "compose.yaml", "compose.cuda.yaml", "Dockerfile")
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
KEY = "a-key-of-sixteen-characters"


def read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / name).read_text()))


def filled(value: str, environ: dict[str, str]) -> str:
    """`value` as Compose interpolates it: docs.docker.com/reference/compose-file/interpolation."""

    def fill(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if environ.get(name):
            return environ[name]
        if kind == "?":
            raise LookupError(f"{name}: {rest}")
        return str(rest or "")

    return VARIABLE.sub(fill, value)


def environment(environ: dict[str, str]) -> dict[str, str]:
    """What the service gets to see."""
    given = read("compose.yaml")["services"]["livemask"]["environment"]
    return {name: filled(str(value), environ) for name, value in given.items()}


def flags() -> set[str]:
    """All that `livemask serve` and `livemask keys` take."""
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    keys = argparse.ArgumentParser()
    add_keys(keys)
    return set(re.findall(r"--[a-z][a-z0-9-]+", parser.format_help() + _help_of_all(keys)))


def _help_of_all(parser: argparse.ArgumentParser) -> str:
    below = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    return parser.format_help() + "".join(
        _help_of_all(child) for action in below for child in action.choices.values()
    )


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_files_are_what_the_specification_allows(name: str) -> None:
    if not SCHEMA.is_file():
        pytest.skip("no schema here; `npm ci` brings it")
    check = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()))
    whole = read(name)
    assert [(list(each.path), each.message) for each in check.iter_errors(whole)] == []
    whole["services"]["livemask"]["network-mode"] = "host"
    assert list(check.iter_errors(whole)), "the schema finds what is wrong"


def test_the_service_starts_with_what_compose_gives_it() -> None:
    with pytest.raises(LookupError, match="LIVEMASK_API_KEYS"):
        environment({})
    settings = read_settings(argparse.Namespace(), environment({"LIVEMASK_API_KEYS": KEY}))
    assert (settings.host, settings.port, settings.api_keys) == ("0.0.0.0", 8000, (KEY,))
    assert (settings.cameras, settings.ice_servers, settings.push_urls) == (None, (), ())
    chosen = {
        "LIVEMASK_API_KEYS": KEY,
        "LIVEMASK_PORT": "9000",
        "LIVEMASK_UDP_PORTS": "40000-40100",
        "LIVEMASK_ADVERTISED_ADDRESSES": "203.0.113.5",
        "LIVEMASK_ALLOWED_HOSTS": "live.example.org",
    }
    settings = read_settings(argparse.Namespace(), environment(chosen))
    assert (settings.port, settings.udp_ports) == (9000, range(40000, 40101))
    assert settings.advertised_addresses == ("203.0.113.5",)
    assert settings.allowed_hosts == ("live.example.org",)


def test_every_variable_and_flag_that_is_named_exists() -> None:
    known = {"LIVEMASK_" + flag[2:].upper().replace("-", "_") for flag in flags()} | {"LIVEMASK_FAL_DATA_DIR"}
    text = {name: (ROOT / name).read_text() for name in DOCUMENTS}
    named = {
        (name, each) for name in DOCUMENTS for each in re.findall(r"LIVEMASK_[A-Z_]*[A-Z]\b", text[name])
    }
    assert {(name, each) for name, each in named if each not in known} == set()
    in_code = set(re.findall(r"`(--[a-z-]+)", text["docs/deploy.md"])) - {"--profile"}  # Docker's own
    assert len(in_code) >= 8
    assert in_code - flags() == set()
    passed = set(read("compose.yaml")["services"]["livemask"]["environment"])
    by_hand = {"--" + each[9:].lower().replace("_", "-") for each in passed} | {"--data-dir", "--scopes"}
    assert in_code - by_hand == set(), "what the page explains can be set in Docker too"


def test_what_compose_refers_to_is_there() -> None:
    whole = read("compose.yaml")
    services = whole["services"]
    profiles = {each for service in services.values() for each in service.get("profiles", ())}
    used = set(re.findall(r"--profile (\w+)", "".join((ROOT / name).read_text() for name in DOCUMENTS)))
    assert used == profiles
    assert not services["livemask"].get("profiles"), "it starts without being asked for"
    volumes = [volume.split(":")[0] for each in services.values() for volume in each.get("volumes", ())]
    assert {name for name in volumes if not name.startswith(".")} == set(whole["volumes"])
    assert set(read("compose.cuda.yaml")["services"]) <= set(services)
    secret = services["coturn"]["command"][1].partition("=")[2]
    assert secret == services["livemask"]["environment"]["LIVEMASK_TURN_SECRET"], "one secret for both"


def test_the_image_has_all_that_the_package_needs() -> None:
    text = (ROOT / "Dockerfile").read_text()
    copied = [each for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M) for each in line.split()[:-1]]
    assert [each for each in copied if not (ROOT / each).exists()] == []
    let_in = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert sorted(copied) == sorted(let_in)
    project = (ROOT / "pyproject.toml").read_text()
    packages = re.findall(r"\w+(?=\*)", re.search(r"^include = (.+)$", project, re.M)[1])  # type: ignore[index]
    assert set(packages) <= set(copied)
    pinned = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    for name, version in re.findall(r"\b(torch|torchvision|sam2)==([\d.]+)", text):
        assert pinned[name] == version
    (python,) = set(re.findall(r"^FROM python:(\d+\.\d+)", text, re.M))
    low, high = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project).groups()  # type: ignore[union-attr]
    assert int(low) <= int(python.split(".")[1]) < int(high)
    assert "video" in re.search(r"NVIDIA_DRIVER_CAPABILITIES=(\S+)", text)[1].split(",")  # type: ignore[index]
    (folder, *inside) = re.search(r"install -d -o livemask (.+)$", text, re.M)[1].split()  # type: ignore[index]
    mount = read("compose.yaml")["services"]["livemask"]["volumes"][0].split(":")[1]
    assert folder == mount
    assert inside == [f"{mount}/recordings", f"{mount}/media"]


def test_the_health_check_tells_a_service_from_none() -> None:
    text = (ROOT / "Dockerfile").read_text()
    command = json.loads(re.search(r"HEALTHCHECK.*?CMD (\[.*?\])$", text, re.M | re.S)[1])  # type: ignore[index]

    def ask(port: int) -> int:
        environ = {"LIVEMASK_PORT": str(port), "no_proxy": "*"}
        ran = subprocess.run([sys.executable, *command[1:]], env=environ, capture_output=True, check=False)
        return ran.returncode

    with socket.create_server(("127.0.0.1", 0)) as other:
        closed = other.getsockname()[1]
    assert ask(closed) == 1
    for status, code in ((b"200 OK", 0), (b"503 Service Unavailable", 1)):
        with socket.create_server(("127.0.0.1", 0)) as server:
            answering = subprocess.Popen(
                [sys.executable, "-c", ANSWER, status.decode()], stdin=server, stdout=subprocess.PIPE
            )
            assert ask(server.getsockname()[1]) == code
            asked, _ = answering.communicate(timeout=20)
        assert asked.startswith(b"GET /health ")


ANSWER = """
import socket, sys
listener = socket.socket(fileno=0)
asker, _ = listener.accept()
sys.stdout.buffer.write(asker.recv(4096))
asker.sendall(f"HTTP/1.1 {sys.argv[1]}\\r\\ncontent-length: 0\\r\\n\\r\\n".encode())
asker.close()
"""


async def test_coturn_takes_its_command_and_reaches_no_private_address(tmp_path: Path) -> None:
    given = read("compose.yaml")["services"]["coturn"]["command"]
    command = [filled(each, {"LIVEMASK_TURN_SECRET": KEY}) for each in given]
    async with turn_server(tmp_path, *command) as server, asyncio.timeout(60):
        username, password = credentials(KEY, 600, time.time())
        for address in ("10.1.2.3", "127.0.0.1", "169.254.169.254", "192.168.1.1", "172.20.0.1"):
            assert await permission(server.port, username, password, address) == 403
        assert await permission(server.port, username, password, "198.51.100.7") is None
    assert b"nknown argument" not in server.errors.read_bytes()


async def permission(port: int, username: str, password: str, peer: str) -> int | None:
    """The error that the relay answers to a wish to send to `peer` (RFC 8656 section 9); None: it would."""
    transport, _ = await aioice.turn.create_turn_endpoint(
        asyncio.DatagramProtocol, ("127.0.0.1", port), username, password, lifetime=600
    )
    inner = transport._TurnTransport__inner_protocol
    try:
        request = aioice.stun.Message(
            message_method=aioice.stun.Method.CREATE_PERMISSION, message_class=aioice.stun.Class.REQUEST
        )
        request.attributes["XOR-PEER-ADDRESS"] = (peer, 9)
        await inner.request_with_retry(request)
    except aioice.stun.TransactionFailed as error:
        return int(error.response.attributes["ERROR-CODE"][0])
    finally:
        transport.close()
    return None
