"""Models by name: ours are found in `genus.models`, others through an entry point.

A package that wants its models listed declares::

    [project.entry-points."genus.models"]
    anything = "their_package.their_module"

The module is imported, and the `register` decorators in it do the rest.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from genus.capabilities import supports
from genus.config import build_config
from genus.errors import ConfigError, SpecError, near
from genus.spec import Spec

if TYPE_CHECKING:
    from genus.families.base import Model

ENTRY_POINT_GROUP = "genus.models"
_models: dict[str, type[Model]] = {}

M = TypeVar("M", bound="type[Model]")


def register(name: str) -> Callable[[M], M]:
    """Make a model class known under a name.

    Raises:
        ConfigError: another class has that name already.
    """

    def decorate(cls: M) -> M:
        taken = _models.get(name)
        if taken is not None and (taken.__module__, taken.__qualname__) != (
            cls.__module__,
            cls.__qualname__,
        ):
            raise ConfigError(
                f"two models are called {name!r}: {taken.__module__}.{taken.__qualname__} and "
                f"{cls.__module__}.{cls.__qualname__}; rename one"
            )
        cls.name = name
        _models[name] = cls
        return cls

    return decorate


@functools.cache
def _discover() -> None:
    """Import every module of `genus.models` and every installed plugin, once."""
    import genus.models

    for module in pkgutil.iter_modules(genus.models.__path__):
        importlib.import_module(f"genus.models.{module.name}")
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        entry.load()


def list_models() -> dict[str, type[Model]]:
    """Return every registered model class by name, sorted."""
    _discover()
    return dict(sorted(_models.items()))


def able(*capabilities: type) -> str:
    """Return the names of the models with any of some capabilities, for a message.

    Those that make images from images are left out: what asks for a capability gives them none.

    Example:
        >>> from genus.applications.state_paths import StatePaths
        >>> able(StatePaths)
        'hmm'
    """
    known = {name: cls for name, cls in list_models().items() if not cls.takes_condition}
    found = [n for n, cls in known.items() if any(supports(cls, c) for c in capabilities)]
    return ", ".join(found) or "none of those that are registered"


def get(name: str) -> type[Model]:
    """Return the model class of that name.

    Raises:
        ConfigError: there is none; the message has near matches.
    """
    known = list_models()
    if name not in known:
        raise ConfigError(f"there is no model {name!r}; {near(name, known)}")
    return known[name]


def preset(name: str, chosen: str) -> dict[str, Any]:
    """Return the options of a model that a paper's table states, for `create`.

    Args:
        name: a registered name.
        chosen: one of the model's ``presets``.

    Raises:
        ConfigError: no such model, or it has no such preset; the message has near matches.
    """
    presets = get(name).presets
    if chosen not in presets:
        remedy = near(chosen, presets) if presets else "it has none"
        raise ConfigError(f"{name} has no preset {chosen!r}; {remedy}")
    return dict(presets[chosen])


def suited(name: str, spec: Spec, examples: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for `create` on a training set of so many examples.

    Args:
        name: a registered name.
        spec: what the data are.
        examples: size of the training set.
        config: the user's own options, which come first.

    Raises:
        ConfigError: no such model.
        SpecError: it cannot work on such data, so that no options suit.

    Example:
        >>> suited("pixelcnn", Spec(shape=(1, 8, 8), levels=17), 1_257, {"layers": 3})
        {'dropout': 0.5, 'layers': 3}
    """
    model = get(name)
    model.check_spec(spec)
    return {**model.suited(spec, examples), **config}


def check_missing(model: Any, missing: object | None, *, fit: bool) -> None:
    """Raise unless a model can do with examples of which entries are missing.

    To score them it needs the likelihood of what is known, and to learn from them a fit to it.

    Args:
        model: an instance or a class.
        missing: what is missing, in words; None where nothing is.
        fit: whether the model is to learn from them, or only to score them.

    Raises:
        SpecError: it cannot; the message names the models that can.
    """
    if missing is None or _takes_missing(model, fit):
        return
    able = [name for name, cls in list_models().items() if _takes_missing(cls, fit)]
    raise SpecError(
        f"{model.name} needs examples of which every entry is known, but {missing}; take a model "
        f"that {'learns from' if fit else 'scores'} what is known ({', '.join(able)}), or fill in "
        "or drop those rows"
    )


def check_labelled(model: Any, spec: Spec, labelled: int | None) -> None:
    """Raise unless a model can learn where not all training examples have labels.

    Args:
        model: an instance or a class.
        spec: what it is made for; without classes it looks at no label.
        labelled: how many have one; None where all or none are meant to.

    Raises:
        SpecError: it cannot; the message names the models that can.
    """
    if labelled is None or spec.classes is None or model.semi_supervised:
        return
    able = [name for name, cls in list_models().items() if cls.semi_supervised]
    raise SpecError(
        f"{model.name} cannot learn from examples without labels, and only {labelled:,} have one; "
        f"take {', '.join(able)}, or drop those without (and leave labelled=, --labelled, out)"
    )


def check_condition(model: Any, spec: Spec) -> None:
    """Raise unless a model can go by the images that examples are conditional on, if by any.

    Args:
        model: an instance or a class.
        spec: what it is to be made for.

    Raises:
        SpecError: it cannot; the message names the models that can.
    """
    if spec.condition is None or model.takes_condition:
        return
    able = [name for name, cls in list_models().items() if cls.takes_condition]
    raise SpecError(
        f"{model.name} does not go by an image, but the data come with one of shape "
        f"{spec.condition}; take {', '.join(able)}, or leave the images out (given=, --given, "
        "spec.unconditional())"
    )


def _takes_missing(model: Any, fit: bool) -> bool:
    from genus.capabilities import Fits, Marginalises, supports

    fits = supports(model, Fits) and getattr(model, "fits_missing", False)
    return supports(model, Marginalises) and (fits or not fit)


def create(name: str, spec: Spec, **config: Any) -> Model:
    """Build a model with fresh weights.

    Args:
        name: a registered name, see `list_models`.
        spec: what the data are; leave out the classes for an unconditional model.
        config: options of the model's ``Config``.

    Raises:
        ConfigError: no such model or option, or a value that it cannot take.
        SpecError: the model cannot work on such data.

    Example:
        >>> model = create("pixelcnn", Spec(shape=(1, 8, 8), levels=17), features=8, layers=1)
        >>> model.sample(2).shape
        torch.Size([2, 1, 8, 8])
    """
    cls = get(name)
    return cls(spec, build_config(cls.Config, config, name))
