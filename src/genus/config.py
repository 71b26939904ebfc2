"""From the words of a user to the configuration of a model.

Configurations are plain frozen dataclasses beside the class that they build. Checking and
converting values is pydantic's work; saying all that is wrong at once, with near matches, is ours.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from genus.errors import ConfigError, near, raise_all

T = TypeVar("T")


def build_config(cls: type[T], values: Mapping[str, Any], owner: str) -> T:
    """Return ``cls(**values)`` with every value checked against its annotation.

    Args:
        cls: a dataclass.
        values: options by name; strings are converted, so they may come from a command line.
        owner: whose configuration it is, for the message.

    Raises:
        ConfigError: unknown options or values out of type or range, all of them at once.

    Example:
        >>> @dataclasses.dataclass(frozen=True, kw_only=True)
        ... class Config:
        ...     depth: int = 2
        >>> build_config(Config, {"depth": "7"}, "toy")
        Config(depth=7)
        >>> build_config(Config, {"dept": 7}, "toy")
        Traceback (most recent call last):
        ...
        genus.errors.ConfigError: toy cannot be configured: it has no option 'dept'; did you...
    """
    import pydantic

    known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    problems = [
        f"it has no option {name!r}; {near(name, known) if known else 'it has no options'}"
        for name in values
        if name not in known
    ]
    wanted = {name: value for name, value in values.items() if name in known}
    built: T | None = None
    try:
        built = pydantic.TypeAdapter(cls).validate_python(wanted)
    except pydantic.ValidationError as error:
        problems += [_explain(item) for item in error.errors(include_url=False)]
    problems += [
        f"{name}={value} must be finite"
        for name in (known if built is not None else ())
        if isinstance(value := getattr(built, name), float) and math.isinf(value)
    ]
    raise_all(ConfigError, f"{owner} cannot be configured:", problems)
    assert built is not None
    return built


def _explain(item: Any) -> str:
    """Return one of pydantic's findings as a sentence."""
    message = str(item["msg"]).removeprefix("Value error, ")
    where = ".".join(str(part) for part in item["loc"])
    return f"{where}={item['input']!r}: {message}" if where else message


def check_positive(config: object, *names: str) -> None:
    """Raise unless the named fields of a configuration are above zero.

    Raises:
        ConfigError: naming every field that is not.
    """
    values = {name: getattr(config, name) for name in names}
    wrong = [
        f"{name}={value} must be above zero" for name, value in values.items() if not value > 0
    ]
    if wrong:
        raise ConfigError("; ".join(wrong))


def check_odd(config: object, *names: str) -> None:
    """Raise unless the named fields of a configuration are odd.

    Raises:
        ConfigError: naming every field that is not.
    """
    values = {name: getattr(config, name) for name in names}
    wrong = [f"{name}={value} must be odd" for name, value in values.items() if value % 2 == 0]
    if wrong:
        raise ConfigError("; ".join(wrong))


def check_share(config: object, *names: str) -> None:
    """Raise unless the named fields of a configuration are at least 0 and below 1.

    Raises:
        ConfigError: naming every field that is not.
    """
    values = {name: getattr(config, name) for name in names}
    wrong = [
        f"{name}={v} must be at least 0 and below 1" for name, v in values.items() if not 0 <= v < 1
    ]
    if wrong:
        raise ConfigError("; ".join(wrong))


def to_json(config: Any) -> dict[str, Any]:
    """Return a configuration as a dictionary that `build_config` reads."""
    return dataclasses.asdict(config)
