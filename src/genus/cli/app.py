"""The `genus` application: its commands, loaded when called, and what happens around each."""

from __future__ import annotations

from cyclopts import App

import genus
from genus.cli import errors, output

HELP = "genus trains, checks, compares and uses generative models of every family."
EPILOGUE = """First steps:  genus compare --data digits --time-budget 30s --out runs/first
Every command takes --help, --json (data to stdout) and --debug (show tracebacks)."""

COMMANDS = {
    "models": (
        "List the models, or show one model's options.",
        "genus models pixelcnn",
    ),
    "data": (
        "List the data sets, or inspect one of them or your own files.",
        "genus data my/photos --size 32 --gray",
    ),
    "train": (
        "Train a model on a data set, or go on with a run.",
        "genus train pixelcnn --data digits --set features=32 layers=4 --time-budget 3m",
    ),
    "evaluate": (
        "Score a run on data that it has not seen.",
        "genus evaluate runs/pixelcnn-digits",
    ),
    "sample": (
        "Draw samples from a run.",
        "genus sample runs/pixelcnn-digits -n 64 -o grid.png --seed 1",
    ),
    "complete": (
        "Fill in what is missing of images, or of other examples, with a run.",
        "genus complete runs/pixelcnn-digits photo.png --lower-half -n 6 -o completed.png",
    ),
    "features": (
        "Write the features of every example, or probe them with a linear classifier.",
        "genus features runs/vae-digits --probe",
    ),
    "classify": (
        "Classify examples by Bayes' rule with a run that learnt each class.",
        "genus classify runs/gaussian-mixture-wine -o posterior.csv",
    ),
    "plot": (
        "Draw what a run has learned: its latents, its filters or its hidden states.",
        "genus plot runs/vae-digits traversal -o latents.png",
    ),
    "compare": (
        "Train several models at equal cost and report what each can do.",
        "genus compare pixelcnn vae gan --data digits --time-budget 60s --out runs/three",
    ),
    "verify": (
        "Check that a model keeps its promises: normalised, causal, sampler = density.",
        "genus verify my_package.my_module:MyModel",
    ),
    "doctor": (
        "Check this installation and say what to mend.",
        "genus doctor --json",
    ),
}
"""Every command with its summary and an example; the functions are in modules of that name."""
SUBCOMMANDS = {
    ("train", "classifier"): (
        "Train a classifier that starts from a run's features, and one that starts from nothing.",
        "genus train classifier --from runs/autoencoder-digits --labels 100 1000 all",
    ),
}
"""Commands of two words, in modules named after the second."""


def build() -> App:
    """Return the application; no command's module is imported before the command is asked for."""
    app = App(
        name="genus",
        help=HELP,
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        version=genus.__version__,
        version_flags=["--version"],
        suppress_keyboard_interrupt=False,
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    for order, (name, (summary, example)) in enumerate(COMMANDS.items()):
        path = f"genus.cli.{name}:{name}"
        epilogue = f"Example:  {example}"
        app.command(path, name=name, help=summary, help_epilogue=epilogue, sort_key=order)
    for (first, second), (summary, example) in SUBCOMMANDS.items():
        path, epilogue = f"genus.cli.{second}:{second}", f"Example:  {example}"
        app[first].command(path, name=second, help=summary, help_epilogue=epilogue)
    return app


def split_debug(words: list[str]) -> tuple[list[str], bool]:
    """Return the words without ``--debug``, which may stand anywhere, and whether it was there."""
    kept = [word for word in words if word != "--debug"]
    return kept, len(kept) < len(words)


def run(words: list[str]) -> int:
    """Run the command that ``words`` spell and return the exit code."""
    words, debug = split_debug(words)
    known = words[:1] if words and words[0] in COMMANDS else []
    hint = " ".join(["genus", *(words[:2] if tuple(words[:2]) in SUBCOMMANDS else known), "--help"])
    with output.consoles(words), errors.guard(debug, hint) as outcome:
        result = build()(words, console=output.out(), error_console=output.err())
        outcome.code = result if isinstance(result, int) else errors.OK
    return outcome.code
