from __future__ import annotations

import subprocess
import sys

import pytest

from signaling.cli import COMMANDS, main


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom signaling.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as e: assert e.code == 0\n"
        "print(sorted({'torch', 'av', 'aiortc', 'starlette'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "[]"
    assert all(name in ran.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_shows_its_flags_without_loading_torch(name: str) -> None:
    code = (
        f"import sys\nfrom signaling.cli import main\ntry: main([{name!r}, '--help'])\n"
        "except SystemExit as e: assert e.code == 0\nprint('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"usage: livemask {name}")
    assert ran.stdout.splitlines()[-1] == "False"


def test_an_unknown_command_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["sevre"])
    assert caught.value.code == 2
    assert "'serve'" in capsys.readouterr().err


def test_a_mistake_of_the_user_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "70000"]) == 2
    assert capsys.readouterr().err == "livemask serve: port: expected 0 to 65535, got 70000\n"
