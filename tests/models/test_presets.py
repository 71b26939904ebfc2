"""The options of papers' tables are options of the models, and the sizes are the papers'."""

import pytest

from genus import registry
from genus.config import build_config
from genus.errors import ConfigError

PRESETS = [(name, chosen) for name, cls in registry.list_models().items() for chosen in cls.presets]


@pytest.mark.parametrize(("name", "chosen"), PRESETS)
def test_a_preset_is_a_configuration(name, chosen):
    cls = registry.get(name)
    config = build_config(cls.Config, registry.preset(name, chosen), name)
    for option, value in cls.presets[chosen].items():
        assert getattr(config, option) == value


def test_a_preset_is_a_copy():
    name, chosen = PRESETS[0]
    registry.preset(name, chosen).clear()
    assert registry.preset(name, chosen)


def test_unknown_presets_are_refused():
    with pytest.raises(ConfigError, match="independent has no preset 'mnist'; it has none"):
        registry.preset("independent", "mnist")
