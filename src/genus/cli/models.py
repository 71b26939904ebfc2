"""`genus models`: what there is, and what each model can do."""

from __future__ import annotations

from typing import Any

from genus.cli import output


def models(name: str | None = None, /, *, json: output.Json = False) -> None:
    """List the models with their family and capabilities, or show one model's options.

    Args:
        name: a model; all are listed when it is left out.
        json: print JSON to stdout.
    """
    if name is None:
        _list(json)
    else:
        _show(name, json)


def _list(json: bool) -> None:
    from genus.cli.describe import abilities, describe
    from genus.registry import list_models

    found = [describe(cls) for cls in list_models().values()]
    if json:
        output.print_json(found)
    else:
        rows = [(m["name"], m["family"], abilities(m)) for m in found]
        output.table(("model", "family", "can"), rows)
    example = found[0]["name"] if found else "NAME"
    output.next_step(f"genus models {example}   (its options)")


def _show(name: str, json: bool) -> None:
    from genus.cli.describe import describe, first_training, options, summary
    from genus.registry import get

    cls = get(name)
    found: dict[str, Any] = {
        **describe(cls),
        "summary": summary(cls),
        "options": options(cls.Config),
        "presets": cls.presets,
    }
    if json:
        output.print_json(found)
    else:
        _print_one(found)
    output.next_step(first_training(found))


def _print_one(model: dict[str, Any]) -> None:
    from genus.cli.describe import abilities

    output.say(f"{model['name']}: {model['summary']}")
    output.pairs([("family", model["family"]), ("can", abilities(model))])
    rows = [(o["name"], o["type"], str(o["default"]), o["help"]) for o in model["options"]]
    if rows:
        output.table(("option (--set)", "type", "default", "meaning"), rows)
    else:
        output.say("It has no options.")
    for preset, values in model["presets"].items():
        words = " ".join(f"{name}={value}" for name, value in values.items())
        output.say(f"--preset {preset}: {words}")
