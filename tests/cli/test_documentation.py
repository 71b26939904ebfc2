"""docs/guides/command-line.md documents every command, option and exit code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genus.cli import app, errors

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "command-line.md").read_text()
SHARED = ("--json", "--help", "--size", "--gray", "--levels", "--label", "--data-root")


def section(command: str) -> str:
    """Return what the page says of a command."""
    return PAGE.partition(f"## genus {command}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("command", sorted(app.COMMANDS))
def test_every_option_of_a_command_is_documented(command):
    text = section(command)
    assert text, f"no section on genus {command}"
    for argument in app.build()[command].assemble_argument_collection():
        for name in argument.names:
            if name.startswith("-"):
                words = PAGE if name in SHARED else text
                assert f"`{name}" in words, f"genus {command} {name} is not documented"


@pytest.mark.parametrize("command", sorted(app.COMMANDS))
def test_no_option_is_documented_that_is_not_there(command):
    known = {name for a in app.build()[command].assemble_argument_collection() for name in a.names}
    for row in re.findall(r"^\| `(-.*?) \|", section(command), re.MULTILINE):
        for name in re.findall(r"`?(--?[a-z-]+)", row):
            assert name in known, f"genus {command} has no {name}"


def test_exit_codes():
    listed = [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    assert listed == [
        errors.OK, errors.FAILED, errors.USAGE, errors.INTERRUPTED, errors.PIPE_CLOSED,
        errors.TERMINATED,
    ]  # fmt: skip
