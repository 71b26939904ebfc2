"""Write a page for every registered model, and one that lists them, from their docstrings.

    python docs/build_models.py [FOLDER]

The pages go to ``docs/models`` unless a folder is given. They are not kept in version control: a
model documents itself where it is defined, and this turns that into Markdown.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from genus.capabilities import capabilities_of
from genus.registry import list_models

SECTIONS = ("Args", "Example", "Raises", "References", "Returns")


def page(name: str, cls: type[Any]) -> str:
    """Return the page of one model."""
    module = inspect.getmodule(cls)
    assert module is not None, f"{name} is defined in no module"
    can = ", ".join(f"`{capability}`" for capability in capabilities_of(cls))
    given = " --given downsample:2" if cls.takes_condition else ""
    parts = [
        f"# {name}",
        to_markdown(inspect.getdoc(module) or ""),
        f"Family: {cls.family.replace('_', ' ')}. It can: {can}.",
        f"```sh\ngenus train {name} --data digits{given} --time-budget 60s\n```",
        "## The class",
        to_markdown(inspect.getdoc(cls) or ""),
        "## Options",
        options(cls.Config),
        presets(name, cls.presets),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def presets(name: str, found: dict[str, dict[str, Any]]) -> str:
    """Return the part on the options of a paper's tables, or nothing."""
    if not found:
        return ""
    rows = [
        f"| `{chosen}` | {', '.join(f'`{key}={value}`' for key, value in values.items())} |"
        for chosen, values in found.items()
    ]
    first = next(iter(found))
    head = f"From the tables of papers, for `genus train {name} --preset {first}`:"
    return "\n".join(["## Presets", "", head, "", "| preset | options |", "| --- | --- |", *rows])


def index(models: dict[str, type[Any]]) -> str:
    """Return the page that lists the models."""
    rows = [
        f"| [{name}]({name}.md) | {cls.family.replace('_', ' ')} | {summary(cls)} |"
        for name, cls in models.items()
    ]
    return "\n".join(
        [
            "# Models",
            "",
            "One file each, from one paper or one classical method. `genus models` prints this "
            "list with what each can do; `genus models NAME` prints its options.",
            "",
            "| model | family | what it is |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def summary(cls: type[Any]) -> str:
    """Return the first paragraph of a class's docstring on one line."""
    return " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())


def options(config: type[Any]) -> str:
    """Return a table of the fields of a configuration, with their types, defaults and meaning."""
    fields = dataclasses.fields(config)
    if not fields:
        return "It has none."
    meaning, hints = field_docs(config), get_type_hints(config)
    rows = [
        f"| `{field.name}` | {choice(field, hints[field.name])} | {default(field)} | "
        f"{escape(inline(meaning.get(field.name, '')))} |"
        for field in fields
    ]
    head = ["| option | type | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows])


def choice(field: dataclasses.Field[Any], hint: Any) -> str:
    """Return the type of a field, or its values where they are few."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if all(get_origin(part) is Literal for part in parts):
        return ", ".join(f"`{value!r}`" for part in parts for value in get_args(part))
    return f"`{escape(str(field.type))}`"


def default(field: dataclasses.Field[Any]) -> str:
    """Return the default of a field as a reader would type it."""
    if field.default is not dataclasses.MISSING:
        return f"`{field.default!r}`"
    if field.default_factory is not dataclasses.MISSING:
        return f"`{field.default_factory()!r}`"
    return "required"


def field_docs(config: type[Any]) -> dict[str, str]:
    """Return the string under each field of a dataclass, which Python itself does not keep."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(config))).body[0]
    assert isinstance(tree, ast.ClassDef)
    docs = {}
    for node, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            value = after.value if isinstance(after, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                docs[node.target.id] = " ".join(value.value.split())
    return docs


def escape(text: str) -> str:
    """Return text that may stand in a cell of a table."""
    return text.replace("|", "\\|")


def to_markdown(doc: str) -> str:
    """Return a Google-style docstring with reStructuredText equations as Markdown."""
    out: list[str] = []
    title, body = "", list[str]()
    for line in [*doc.splitlines(), "End:"]:
        heading = re.fullmatch(r"(\w+):", line)
        if heading and (heading[1] in SECTIONS or line == "End:"):
            out.append(section(title, body))
            title, body = heading[1], []
        elif title and line and not line.startswith(" "):  # text again, after a section
            out.append(section(title, body))
            title, body = "", [line]
        else:
            body.append(line)
    return "\n\n".join(part for part in out if part)


def section(title: str, lines: list[str]) -> str:
    """Return one section of a docstring; without a title it is plain text."""
    text = textwrap.dedent("\n".join(lines)).strip("\n")
    if not text:
        return ""
    if not title:
        return inline(equations(text)).strip("\n")
    if title == "Example":
        return f"**Example**\n\n```python\n{text}\n```"
    if title == "References":
        return f"**References**\n\n{references(text)}"
    items = re.sub(r"^(\S[^:\n]*): ", r"- **\1**: ", inline(text), flags=re.MULTILINE)
    return f"**{'Arguments' if title == 'Args' else title}**\n\n{items}"


def references(text: str) -> str:
    """Return line blocks, a title and an address each, as a list."""
    items = []
    for line in text.splitlines():
        words = line.removeprefix("|").strip()
        linked = re.sub(r"(https?://[^\s,;)]+)", r"<\1>", inline(words))
        if words:
            items.append(f"  {linked}" if words.startswith("http") else f"- {linked}")
    return "\n".join(items)


def equations(text: str) -> str:
    """Return text with ``.. math::`` blocks between double dollars."""

    def display(match: re.Match[str]) -> str:
        return f"$$\n{textwrap.dedent(match[1]).strip()}\n$$\n"

    return re.sub(
        r"^\.\. math::(.*\n?(?:[ \t]+.*\n?|\n(?=[ \t]))*)", display, text, flags=re.MULTILINE
    )


def inline(text: str) -> str:
    """Return text with inline equations and double backticks as Markdown writes them."""
    text = re.sub(r":math:`([^`]+)`", r"$\1$", text)
    return re.sub(r"``([^`]+)``", r"`\1`", text)


def main(folder: Path) -> None:
    """Write all pages, and remove those of models that are gone."""
    models = list_models()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.md"):
        old.unlink()
    for name, cls in models.items():
        (folder / f"{name}.md").write_text(page(name, cls), encoding="utf-8")
    (folder / "index.md").write_text(index(models), encoding="utf-8")
    print(f"wrote {len(models) + 1} pages to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "models")
