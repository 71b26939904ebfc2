"""Recipes: what their docstrings say is what they do."""

import pytest

from genus import recipes, registry
from genus.config import build_config
from genus.errors import ConfigError
from genus.recipes import Recipe
from genus.recipes.recipe import duration
from genus.training import RunFolder, TrainConfig


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_a_recipe_is_a_run_that_can_be_made(name):
    found = recipes.find(name)
    cls = registry.get(found.model)
    preset = registry.preset(found.model, found.preset) if found.preset else {}
    build_config(cls.Config, {**preset, **found.options}, found.model)
    TrainConfig(**found.training)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_the_docstring_says_command_cost_and_expected_score(name):
    words = " ".join(recipes.about(name).split())
    assert f"Command: ``{recipes.find(name).command}``." in words
    assert "Cost: " in words
    assert "Expected: " in words
    assert "et al" in words or "arXiv" in words or "and " in words


def test_a_recipe_runs(tmp_path):
    short = Recipe(
        model="pixelcnn",
        data="digits",
        options={"features": 8, "layers": 1, "hidden": 8},
        training={"steps": 2, "batch_size": 4, "samples": 0},
    )
    result = short.run(tmp_path / "run", steps=3)
    assert result.steps == 3
    options = RunFolder(tmp_path / "run").read_config().options
    assert (options["features"], options["dropout"]) == (8, 0.5)


def test_the_command_of_a_recipe():
    found = Recipe(
        model="made",
        data="digits",
        preset="mnist",
        options={"dropout": 0.1},
        training={"time_budget": 5400, "batch_size": 16},
    )
    assert found.command == (
        "genus train made --data digits --preset mnist --set dropout=0.1 --time-budget 90m "
        "--batch-size 16"
    )
    assert duration(61) == "61s"


def test_unknown_recipes_are_refused():
    with pytest.raises(ConfigError, match="there is no recipe 'cifar10/pixelcn'; did you mean"):
        recipes.find("cifar10/pixelcn")
