"""The application itself: help, version, errors, exit codes, start-up."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import types

import pytest

import genus
from genus.cli import app, errors, main, output
from genus.errors import CheckpointError, ConfigError, DataError, GenusError, TrainingError


def test_help_lists_every_command_and_an_example(cli):
    answer = cli("--help")
    assert answer.code == 0
    for name in ("models", "data", "train", "evaluate", "sample", "compare", "verify", "doctor"):
        assert f" {name} " in answer.out
    assert "genus compare --data digits" in answer.out


@pytest.mark.parametrize("command", sorted(app.COMMANDS))
def test_every_command_has_help_with_json_and_an_example(cli, command):
    answer = cli(command, "--help")
    assert answer.code == 0
    assert "--json" in answer.out
    assert f"genus {command}" in answer.out


def test_version(cli):
    answer = cli("--version")
    assert (answer.code, answer.out) == (0, f"{genus.__version__}\n")


def test_python_dash_m_is_the_same():
    command = [sys.executable, "-m", "genus", "--version"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == f"{genus.__version__}\n"


HEAVY = ("torch", "numpy", "pydantic", "sklearn", "matplotlib", "lightning_fabric", "PIL")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from genus.cli import main; "
        "assert main(['--help']) == 0; assert main(['train', '--help']) == 0; "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stderr == "[]\n"


def test_misspelt_command(cli):
    cli("trian").refused("trian", 'Did you mean "train"?')


def test_misspelt_option_names_the_near_one(cli):
    answer = cli("models", "--jsn").refused("--jsn", "Did you mean --json?")
    assert answer.last == "next: genus models --help"


def test_missing_argument(cli):
    cli("verify").refused("TARGET")


def test_nothing_is_written_in_colour_to_a_pipe(cli, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    for answer in (cli("--help"), cli("trian"), cli("models")):
        assert "\x1b" not in answer.out + answer.err


class Terminal:
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_no_color_is_honoured_on_a_terminal(monkeypatch, no_color, coloured):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    with output.consoles():
        output.note("something")
    assert ("\x1b[" in terminal.text) is coloured


def raising(error: BaseException, *words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command that raises ``error``."""

    def doctor() -> None:
        """Raise."""
        raise error

    module = types.ModuleType("genus.cli.doctor")
    module.doctor = doctor
    monkeypatch.setitem(sys.modules, "genus.cli.doctor", module)
    return main(["doctor", *words])


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (GenusError("a"), 2, "genus: a"),
        (ConfigError("b"), 2, "genus: b"),
        (DataError("c"), 2, "genus: c"),
        (CheckpointError("d"), 1, "genus: d"),
        (TrainingError("e"), 1, "genus: e"),
        (errors.RunFailed("f"), 1, "genus: f"),
        (KeyboardInterrupt(), 130, "genus: stopped"),
        (errors.Terminated(), 143, "genus: stopped"),
        (MemoryError(), 1, "--batch-size"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), 1, "--batch-size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you"), 1, "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1, "choose another folder"),
        (ZeroDivisionError("oops"), 1, "internal error, ZeroDivisionError: oops; --debug shows"),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error, code, words, capsys, monkeypatch):
    assert raising(error, monkeypatch=monkeypatch) == code
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


def test_a_command_that_was_stopped_can_be_typed_again(capsys, monkeypatch):
    raising(KeyboardInterrupt(), monkeypatch=monkeypatch)
    assert capsys.readouterr().err.endswith("next: genus doctor\n")


def test_debug_shows_the_traceback(capsys, monkeypatch):
    assert raising(ConfigError("b"), "--debug", monkeypatch=monkeypatch) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "genus: b" in err


def test_sigterm_ends_with_143_and_the_handler_is_put_back(capsys, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)

    def doctor() -> None:
        """Send SIGTERM to this process."""
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 5)

    module = types.ModuleType("genus.cli.doctor")
    module.doctor = doctor
    monkeypatch.setitem(sys.modules, "genus.cli.doctor", module)
    assert main(["doctor"]) == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m genus --help | true"
    found = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )
    assert found.stderr == ""
    assert found.returncode in (0, errors.PIPE_CLOSED)


def test_json_has_no_nan():
    assert output.finite({"a": [float("nan"), 1.0], "b": float("inf")}) == {
        "a": [None, 1.0],
        "b": None,
    }
