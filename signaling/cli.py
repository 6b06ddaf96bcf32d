"""The command line: `livemask serve | track | demo | bench | keys | train`.

A command is a module with `add_arguments(parser)` and `run(arguments) -> exit status`. It is imported only
when it is the one asked for, so that `--help` and mistakes answer at once; torch comes later still.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

from signaling.command import CommandError


class Command(NamedTuple):
    module: str
    help: str


COMMANDS = {
    "serve": Command("signaling.serve", "serve the page and the API for live cameras"),
    "track": Command("signaling.track", "follow objects through a video file"),
    "demo": Command("signaling.demo", "play a clip through a real session and report"),
    "bench": Command("signaling.bench", "measure the engine and the service"),
    "keys": Command("signaling.fal.command", "create, list and revoke API keys"),
    "train": Command("engine.training.cli", "train the bundled model"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status of the process."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = _command_name(arguments)
    command = COMMANDS[name]
    module = importlib.import_module(command.module)
    parser = argparse.ArgumentParser(prog=f"livemask {name}", description=command.help)
    module.add_arguments(parser)
    try:
        return int(module.run(parser.parse_args(arguments[1:])))
    except CommandError as error:
        print(f"livemask {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _command_name(arguments: Sequence[str]) -> str:
    parser = argparse.ArgumentParser(
        prog="livemask",
        description="Segment live cameras with SAM 2.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n"
        + "\n".join(f"  {name:8}{command.help}" for name, command in COMMANDS.items())
        + "\n\n`livemask COMMAND --help` shows the flags of a command.",
    )
    parser.add_argument("--version", action="version", version=f"livemask {version('livemask')}")
    parser.add_argument("command", choices=COMMANDS, metavar="command")
    return str(parser.parse_args(arguments[:1] or ["--help"]).command)


if __name__ == "__main__":
    sys.exit(main())
