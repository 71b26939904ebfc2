"""What the documentation shows works: its Python runs, its commands and links exist.

A block that cannot run here has ``<!-- not run: reason -->`` on the line before it. Time budgets
are cut to a few seconds, so that the pages can show realistic ones.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

import genus
from genus.cli import main

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(page for page in sorted(DOCS.rglob("*.md")) if page.parent != DOCS / "models"),
]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
# Walked through from top to bottom, commands and Python in one folder.
WALKED = [DOCS / "tutorial.md", DOCS / "guides" / "sampling.md"]
# The model of CONTRIBUTING.md has tests of its own.
NOT_RUN = re.compile(r"<!-- (not run: \S.*|the model) -->")
FENCE = re.compile(r"(?P<before>[^\n]*\n)?```(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^```", re.M | re.S)
SHELL = ("sh", "bash", "shell", "console")
SECONDS = 3


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    kind: str
    text: str
    line: int
    runs: bool


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    source = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(source):
        before = source[: match.start("kind")].rstrip("`").rstrip().rpartition("\n")[2]
        line = source.count("\n", 0, match.start("text")) + 1
        found.append(Block(match["kind"], match["text"], line, not NOT_RUN.search(before)))
    return found


def commands(block: Block) -> list[list[str]]:
    """Return the command lines of a shell block as words, without prompts and comments."""
    text = block.text.replace("\\\n", " ").replace(" && ", "\n")
    lines = (line.strip().removeprefix("$ ") for line in text.splitlines())
    return [shlex.split(line, comments=True) for line in lines if line and line[0] != "#"]


def hurried(text: str) -> str:
    """Return Python or a command line with time budgets of seconds."""
    text = re.sub(r"(time_budget=)[\d._]+", rf"\g<1>{SECONDS}", text)
    return re.sub(r"(--time-budget )\S+", rf"\g<1>{SECONDS}s", text)


def execute(block: Block, page: Path, namespace: dict[str, object]) -> None:
    """Run a Python block; an error shows the page and the line."""
    code = "\n" * (block.line - 1) + hurried(block.text)
    exec(compile(code, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", [p for p in PAGES if p not in WALKED], ids=lambda p: p.name)
def test_python_runs(page, tmp_path, monkeypatch):
    """Every Python block runs, after those before it on the page."""
    wanted = [block for block in blocks(page) if block.kind == "python" and block.runs]
    if not wanted:
        pytest.skip("no Python on this page")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in wanted:
        execute(block, page, namespace)


@pytest.mark.slow
@pytest.mark.parametrize("page", WALKED, ids=lambda p: p.name)
def test_walk_through(page, tmp_path, monkeypatch, capsys):
    """Every command and every Python block of the tutorial runs, in the order of the page."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    ran = 0
    for block in blocks(page):
        if not block.runs:
            continue
        if block.kind == "python":
            execute(block, page, namespace)
        for words in commands(block) if block.kind in SHELL else []:
            if words[0] == "genus":
                call(words, f"{page.name}:{block.line}", capsys)
        ran += 1
    assert ran >= 5


def call(words: list[str], where: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command of genus in this process: a new one would import torch for two seconds."""
    line = hurried(shlex.join(words[1:]))
    code = main(shlex.split(line))
    said = capsys.readouterr()
    assert code == 0, f"{where}: genus {line}\n{said.out}{said.err}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_exist(page, tmp_path, monkeypatch):
    """Every genus command and every make target that is shown exists, with its options."""
    from genus.cli.app import build

    monkeypatch.chdir(tmp_path)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for block in blocks(page):
        for words in commands(block) if block.kind in SHELL and block.runs else []:
            if words[0] == "make":
                names = {word for word in words[1:] if "=" not in word and word[0] != "-"}
                assert names <= targets, f"{page.name}:{block.line}: make has no {names - targets}"
            if words[0] == "genus":
                build().parse_args(words[1:], print_error=False, exit_on_error=False)


def test_a_wrong_option_is_caught(monkeypatch, tmp_path):
    from cyclopts import CycloptsError

    from genus.cli.app import build

    with pytest.raises(CycloptsError):
        build().parse_args(
            ["train", "vae", "--data", "digits", "--steeps", "3"],
            print_error=False,
            exit_on_error=False,
        )


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page):
    """Relative links name a file; what the site is built from, its builder checks with anchors."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path = link.partition("#")[0]
        if "://" in link or not path or "models/" in path:
            continue
        if not (page.parent / path).exists():
            missing.append(link)
    assert not missing


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text()
    for page in sorted(DOCS.rglob("*.md")):
        name = page.relative_to(DOCS).as_posix()
        if not name.startswith("models/"):
            assert f": {name}\n" in nav, f"docs/{name} is not in the navigation of mkdocs.yml"


def test_reference_lists_the_public_names():
    """docs/reference.md has a line for each public name, and none for another."""
    page = (DOCS / "reference.md").read_text()
    listed = re.findall(r"^\| `genus\.(\w+)", page, re.M)
    assert sorted(listed) == sorted(set(genus.__all__))


def build_models() -> ModuleType:
    """Return the script docs/build_models.py as a module."""
    spec = importlib.util.spec_from_file_location("build_models", DOCS / "build_models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_model_has_a_page(tmp_path, shipped, capsys):
    script = build_models()
    script.main(tmp_path)
    models = genus.list_models()
    assert {path.stem for path in tmp_path.glob("*.md")} == {"index", *models}
    for name, cls in shipped.items():
        text = (tmp_path / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        assert "**References**" in text or "closed" in cls.family
        assert not re.search(r":math:|\.\. math::|^Args:|``", re.sub(r"```", "", text), re.M), name


def test_docstrings_become_markdown():
    doc = """A law.

.. math:: p(x) =
    1

It has :math:`x` and ``y``.

Args:
    x: a value
        that goes on.

Example:
    >>> 1
    1
"""
    assert build_models().to_markdown(doc) == (
        "A law.\n\n$$\np(x) =\n   1\n$$\n\nIt has $x$ and `y`.\n\n**Arguments**\n\n"
        "- **x**: a value\n    that goes on.\n\n**Example**\n\n```python\n>>> 1\n1\n```"
    )
