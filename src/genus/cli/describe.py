"""What a model class says of itself: capabilities and the options of its configuration."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from genus.capabilities import capabilities_of

GIVEN = "--given downsample:2"
"""An example of what a model that makes images from images must be given."""


def summary(cls: type) -> str:
    """Return the first line of a class's docstring, or of its module's."""
    text = inspect.getdoc(cls) or inspect.getdoc(inspect.getmodule(cls)) or ""
    return text.partition("\n")[0]


def describe(cls: Any) -> dict[str, Any]:
    """Return name, family and capabilities of a model class, and whether it goes by images."""
    return {
        "name": cls.name,
        "family": cls.family,
        "capabilities": list(capabilities_of(cls)),
        "from_images": cls.takes_condition,
    }


def abilities(model: dict[str, Any]) -> str:
    """Return in words what a model can do, from what `describe` says of it."""
    given = [f"from images ({GIVEN})"] if model["from_images"] else []
    return ", ".join([*model["capabilities"], *given])


def first_training(model: dict[str, Any]) -> str:
    """Return the command that trains a model for a minute."""
    given = f" {GIVEN}" if model["from_images"] else ""
    return f"genus train {model['name']} --data digits{given} --time-budget 60s"


def options(config: type) -> list[dict[str, Any]]:
    """Return name, type, default and meaning of every field of a configuration.

    Args:
        config: a dataclass.
    """
    docs: dict[str, str] = {}
    for cls in reversed(config.__mro__[:-1]):
        docs |= argument_docs(inspect.getdoc(cls) or "") | attribute_docs(cls)
    hints = get_type_hints(config)
    return [
        {
            "name": field.name,
            "type": type_name(hints[field.name]),
            "default": default_of(field),
            "help": docs.get(field.name, ""),
        }
        for field in dataclasses.fields(config)
    ]


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Return a field's default as JSON has it, or None when it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def type_name(hint: Any) -> str:
    """Return an annotation as a reader wants it.

    Example:
        >>> from typing import Literal
        >>> type_name(int), type_name(float | None), type_name(Literal["a", "b"])
        ('int', 'float | None', 'a | b')
    """
    if get_origin(hint) is Literal:
        return " | ".join(str(choice) for choice in get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        return " | ".join(type_name(part) for part in get_args(hint))
    if hint is NoneType:
        return "None"
    return hint.__name__ if type(hint) is type else str(hint).replace("typing.", "")


def argument_docs(doc: str) -> dict[str, str]:
    """Return what the ``Args:`` section of a Google docstring says of each name.

    Args:
        doc: a docstring, cleaned of its indentation.

    Example:
        >>> argument_docs(inspect.getdoc(argument_docs))
        {'doc': 'a docstring, cleaned of its indentation.'}
    """
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)*)", doc, re.MULTILINE)
    found: dict[str, str] = {}
    name = ""
    for line in textwrap.dedent(section[1]).splitlines() if section else ():
        start = re.match(r"(\w+)(?: \([^)]*\))?:\s*(.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif name and line.strip():
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def attribute_docs(cls: type) -> dict[str, str]:
    """Return the string that stands below each field in the source of a class."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError):  # made in an interactive session: there is no source to read
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found = {}
    for field, below in itertools.pairwise(body):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            found[field.target.id] = " ".join(str(below.value.value).split())  # type: ignore[attr-defined]
    return found
