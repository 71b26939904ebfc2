"""`genus models`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from genus.capabilities import CAPABILITIES
from genus.cli import describe
from genus.registry import list_models


def test_json_is_a_list_with_name_family_and_capabilities(cli):
    answer = cli("models", "--json")
    assert answer.code == 0
    assert [model["name"] for model in answer.json] == list(list_models())
    for model in answer.json:
        assert set(model) == {"name", "family", "capabilities", "from_images"}
        assert set(model["capabilities"]) <= set(CAPABILITIES)
        assert "samples" in model["capabilities"]


def test_table_names_every_model(cli):
    answer = cli("models")
    for name, cls in list_models().items():
        assert re.search(rf"^\s*{name}\s+{cls.family}\s", answer.out, re.MULTILINE)
    assert answer.last.startswith("next: genus models ")


def test_one_model_shows_its_options_with_defaults_and_meaning(cli):
    answer = cli("models", "pixelcnn", "--json")
    known = {"name", "family", "capabilities", "from_images", "summary", "options", "presets"}
    assert set(answer.json) == known
    options = {option["name"]: option for option in answer.json["options"]}
    config = list_models()["pixelcnn"].Config()
    for name, option in options.items():
        assert set(option) == {"name", "type", "default", "help"}
        assert option["default"] == getattr(config, name)
        assert option["help"]
    assert "features" in options
    assert "features" in cli("models", "pixelcnn").out


def test_every_option_of_every_model_says_what_it_means(shipped):
    for cls in shipped.values():
        assert describe.summary(cls)
        for option in describe.options(cls.Config):
            assert option["help"], f"{cls.name}.{option['name']} has no docstring"


def test_misspelt_model(cli):
    cli("models", "pixelcn").refused("there is no model 'pixelcn'; did you mean pixelcnn or")


@dataclass(frozen=True, kw_only=True)
class Documented:
    """Options.

    Args:
        depth: How many layers
            there are.
    """

    depth: int = 2
    width: float | None = None
    """How wide."""


def test_options_are_read_from_both_kinds_of_docstring():
    assert describe.options(Documented) == [
        {"name": "depth", "type": "int", "default": 2, "help": "How many layers there are."},
        {"name": "width", "type": "float | None", "default": None, "help": "How wide."},
    ]
