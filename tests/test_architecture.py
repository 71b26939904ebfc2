"""The shape of the package: who imports whom, what the core needs, how long a function may be."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "genus"
FILES = sorted(SOURCE.rglob("*.py"))

# Runs in a process of its own, where every distribution but these and what they need is hidden.
CORE_ALONE = r"""
import importlib, importlib.abc, importlib.metadata, pkgutil, re, sys

ALLOWED = ["torch", "numpy", "pillow", "safetensors", "lightning-fabric"]

def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()

def closure(names):
    seen, queue = set(), [normal(name) for name in names]
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        plain = (need for need in needs if "extra ==" not in need)
        queue += [normal(re.match(r"[\w.-]+", need)[0]) for need in plain]
    return seen

kept = closure(ALLOWED) | {"genus"}
owners = importlib.metadata.packages_distributions()
hidden = {top for top, names in owners.items() if not {normal(n) for n in names} & kept}
assert {"pydantic", "cyclopts", "sklearn", "matplotlib", "rich"} <= hidden

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"{name} is hidden", name=name)

sys.meta_path.insert(0, Hide())

core = ["spec", "likelihood", "capabilities", "random", "errors", "config", "registry"]
for name in core:
    importlib.import_module(f"genus.{name}")
for name in ["nn", "distributions", "families", "models", "training", "data"]:
    package = importlib.import_module(f"genus.{name}")
    for module in pkgutil.walk_packages(package.__path__, f"genus.{name}."):
        importlib.import_module(module.name)

from genus.registry import get
from genus.spec import Spec
model = get("pixelcnn")(Spec(shape=(1, 3, 3), levels=2))
assert model.log_prob(model.sample(2)).shape == (2,)
print("core alone")
"""


def test_imports_point_one_way():
    """The contracts of pyproject.toml hold."""
    run = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("room", ["training", "applications"])
def test_an_import_upwards_is_caught(room, tmp_path):
    """The contracts fail when a room imports a model, so that their silence means something."""
    package = tmp_path / "genus"
    for path in FILES:
        copy = package / path.relative_to(SOURCE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    (package / room / "leak.py").write_text("from genus.models import pixelcnn\n")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    run = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", run],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"genus.{room}.leak" in done.stdout


def test_core_imports_alone():
    """Spec to training need torch, NumPy, Pillow, safetensors and Fabric, and nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", CORE_ALONE], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "core alone", done.stdout + done.stderr


def test_cli_starts_without_torch():
    """The command line answers before torch is imported, which takes seconds."""
    run = "import sys, genus.cli; print('torch' in sys.modules, 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "False"], done.stdout + done.stderr


@pytest.mark.parametrize("name", ["torchvision", "torchaudio"])
def test_absent(name):
    """Beside a CPU torch the plain wheels of these break the import of others."""
    assert importlib.util.find_spec(name) is None, f"uninstall {name}: something pulled it in"


def test_no_dependency_asks_for_torchvision():
    names = (ROOT / "pyproject.toml").read_text() + (ROOT / "constraints.txt").read_text()
    assert "torchvision" not in names


def length(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Yield every function with its lines, the docstring not counted."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = length(node)
                if ast.get_docstring(node) is not None:
                    lines -= length(node.body[0])
                yield path, node, lines


def test_functions_are_short():
    """The median function has at most 8 lines and 95 % have at most 40."""
    found = sorted(functions(), key=lambda item: item[2])
    lengths = [lines for _, _, lines in found]
    long = [f"{p.relative_to(ROOT)}:{n.lineno} {n.name} {k}" for p, n, k in found if k > 40]
    assert len(lengths) > 100
    assert lengths[len(lengths) // 2] <= 8
    assert len(long) <= 0.05 * len(lengths), "\n".join(long)


def test_files_have_one_subject():
    """No file is above 400 lines, and a model reads from top to bottom in 200."""
    count = {path: len(path.read_text().splitlines()) for path in FILES}
    limit = {path: 200 if path.parent.name == "models" else 400 for path in FILES}
    long = [f"{p.relative_to(ROOT)}: {n} lines" for p, n in count.items() if n > limit[p]]
    assert not long, "\n".join(long)


def test_public_classes_say_what_they_are():
    """Every class whose name, and whose file's, is public has a docstring."""
    bare = []
    for path in FILES:
        if any(part.startswith("_") and part != "__init__.py" for part in path.parts):
            continue
        for node in ast.parse(path.read_text()).body:
            public = isinstance(node, ast.ClassDef) and not node.name.startswith("_")
            if public and ast.get_docstring(node) is None:
                bare.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not bare, "\n".join(bare)


def swallows(handler: ast.ExceptHandler) -> bool:
    """Say whether a handler catches everything, or drops an error of any kind unseen."""
    caught = ast.unparse(handler.type) if handler.type else "everything"
    broad = caught in ("everything", "Exception", "BaseException")
    only_passes = all(isinstance(node, ast.Pass) for node in handler.body)
    return caught == "everything" or (broad and only_passes)


def test_nothing_is_silent():
    """No bare except, and no ``except Exception: pass``."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and swallows(node)
    ]
    assert not silent, "\n".join(silent)


def test_swallows_is_able_to_say_yes():
    tree = ast.parse("try:\n    pass\nexcept Exception:\n    pass\n")
    handler = next(node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))
    assert swallows(handler)


def test_no_source_is_tied_to_this_version():
    """Every file compiles for the oldest Python that is supported."""
    for path in [*FILES, *sorted((ROOT / "tests").rglob("*.py"))]:
        ast.parse(path.read_text(), filename=str(path), feature_version=(3, 11))
