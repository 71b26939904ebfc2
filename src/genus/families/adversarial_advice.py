"""What to change when a game goes wrong, in options that the model has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genus.families.adversarial import Adversarial

SLOPES = ("gamma", "r1", "penalty")
"""Options that hold the critic's slope."""
SAFEST = "r3gan"
"""The model whose game converges; see the guide."""


def remedies(model: Adversarial, trouble: str) -> tuple[str, ...]:
    """Return options to try, most promising first.

    Args:
        model: whose game it is.
        trouble: a word of `genus.training.game`: "collapse", "vanishing", "chance" and so on.
    """
    options = vars(model.config)
    found = [_slope(name, options[name], trouble) for name in SLOPES if name in options]
    steps = options.get("critic_steps", 1)
    if trouble == "chance" and "critic_steps" in options:
        found.append(f"--set critic_steps={2 * steps} (now {steps})")
    if trouble == "vanishing" and steps > 1:
        found.append(f"--set critic_steps={steps // 2} (now {steps})")
    if trouble != "chance" and options.get("augment") == 0 and model.spec.is_image:
        found.append("--set augment=0.3 (now 0)")
    if trouble == "vanishing" and options.get("loss") == "minimax":
        found.insert(0, "--set loss=non-saturating (now minimax)")
    if "l1" in options:  # what holds the pair together holds the game as well
        weight = options["l1"]
        other = weight / 4 if trouble == "chance" else 4 * weight or 100.0
        found.append(f"--set l1={other:g} (now {weight:g})")
    if model.name != SAFEST and model.spec.is_image and model.spec.condition is None:
        found.append(f"another model, {SAFEST}")
    return tuple(found)


def _slope(name: str, now: float, trouble: str) -> str:
    """Return another weight of a penalty: a critic at chance has too much, the others too little.

    By a factor of four, the step by which such weights are usually searched.
    """
    other = now / 4 if trouble == "chance" else 4 * now or 1.0
    return f"--set {name}={other:g} (now {now:g})"
