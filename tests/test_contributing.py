"""The model in CONTRIBUTING.md is complete: it registers, verifies, trains, samples and loads."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import genus
from genus import registry

PAGE = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"


def model_source() -> str:
    """Return the block of the page that is the model's file."""
    found = re.search(r"<!-- the model -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None, "CONTRIBUTING.md has lost its model"
    return found[1]


def load_module(path: Path, name: str) -> Any:
    """Import a file as a module of that name."""
    module_spec = importlib.util.spec_from_file_location(name, path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    module_spec.loader.exec_module(module)
    return module


@pytest.fixture
def model_class(tmp_path: Path) -> Iterator[type[Any]]:
    """The class, from a file of its own, registered until the test ends."""
    path = tmp_path / "belief_net.py"
    path.write_text(model_source())
    yield load_module(path, "belief_net").BeliefNet
    registry._models.pop("belief-net", None)
    del sys.modules["belief_net"]


def test_it_is_short():
    assert len([line for line in model_source().splitlines() if line.strip()]) < 60


def test_it_is_in_our_style():
    ruff = [sys.executable, "-m", "ruff"]
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [*ruff, *words, "--stdin-filename", "src/genus/models/belief_net.py", "-"],
            input=model_source(),
            cwd=PAGE.parent,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_found_by_name(model_class):
    assert genus.list_models()["belief-net"] is model_class
    assert {"density", "completes", "classifies"} <= set(
        genus.capabilities.capabilities_of(model_class)
    )


def test_it_is_verified(model_class):
    report = genus.verify(model_class, quick=True)
    assert report.passed, report.failures


def test_the_mask_off_by_one_is_caught(tmp_path):
    """The page says that the kit catches ``<=``; the kit says so too."""
    path = tmp_path / "leaky.py"
    path.write_text(model_source().replace("[None, :] < position", "[None, :] <= position"))
    try:
        leaky = load_module(path, "leaky").BeliefNet
        report = genus.verify(leaky, specs=[genus.Spec(shape=(1, 2, 3), levels=3)], quick=True)
    finally:
        registry._models.pop("belief-net", None)
        sys.modules.pop("leaky", None)
    assert any("causal" in finding.check for finding in report.failures)


def test_it_trains_samples_and_loads(model_class, tmp_path):
    from genus.training import TrainConfig

    data = genus.load_data("digits")
    torch.manual_seed(0)
    model = genus.create("belief-net", data.spec.unconditional())
    test = data.test.batch(torch.arange(64))
    before = model.log_prob(test.x).mean()

    config = TrainConfig(steps=60, batch_size=64, learning_rate=0.01, seed=0)
    genus.train(model, data, tmp_path / "run", config)

    loaded = genus.load(tmp_path / "run")
    assert type(loaded) is model_class
    assert loaded.log_prob(test.x).mean() > before + 10
    x = loaded.sample(3, generator=torch.Generator().manual_seed(0))
    assert x.shape == (3, 1, 8, 8)
    assert loaded.spec.check(x) is x
