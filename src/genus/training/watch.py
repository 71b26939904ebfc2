"""Watches that end a run, or warn, before a broken model is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from genus.errors import NotFiniteError
from genus.training.hooks import Hook

if TYPE_CHECKING:
    from genus.training.optim import Player
    from genus.training.session import Session

COLLAPSED_KL = 0.01
"""Nats per example below which a latent model does not use its latents."""
REMEDIES = {
    "posterior": "Try --set warmup=0.2, then --set free_bits=0.5 or --set objective=iwae "
    "--set samples=20, or a smaller decoder"
}
"""What to try against each kind of collapse, where there is something that often helps."""
COLLAPSED_SPREAD = 0.05
"""Share of the data's spread below which samples are all alike."""


class GradientWatch(Hook):
    """Clips gradients, and stops the run before an update by a loss or gradient without a value.

    Args:
        clip: largest norm, or None.
    """

    def __init__(self, clip: float | None) -> None:
        self.clip = clip

    def on_gradients(self, session: Session, player: Player) -> None:
        """Clip, then look: one wait for the device, which is the only one of a step.

        Raises:
            NotFiniteError: the loss or the norm of the gradient is NaN or infinite.
        """
        gradients = player.gradients()
        norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
        loss = player.metrics["loss"].detach().to(norm)
        player.loss, player.norm = torch.stack((loss, norm)).tolist()
        if not math.isfinite(player.loss + player.norm):
            raise NotFiniteError(self._advice(session, player))
        if self.clip is not None and player.norm > self.clip:
            torch.nn.utils.clip_grads_with_norm_(player.parameters, self.clip, norm, foreach=True)

    def _advice(self, session: Session, player: Player) -> str:
        rate = player.optimizer.param_groups[0]["lr"]
        remedy = f"lower learning_rate (now {player.base:g})"
        remedy += " or set clip=1" if self.clip is None else f" or clip (now {self.clip:g})"
        return (
            f"step {session.step + 1}: the loss of {player.name!r} is {player.loss:g} and its "
            f"gradient's norm {player.norm:g}, at a step size of {rate:g}; the update was not "
            f"made and the last checkpoint is kept. {remedy}"
        )


class CollapseWatch(Hook):
    """Warns once when a model has stopped using its latents, or draws one and the same sample."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    @property
    def name(self) -> str:
        """How a checkpoint calls the hook."""
        return "collapse"

    def on_evaluate(self, session: Session, scores: Mapping[str, float]) -> None:
        """Look at the divergence and at the spread of the samples."""
        if session.config.progress(session.step, session.elapsed) < 0.1:
            return
        if scores.get("kl", math.inf) < COLLAPSED_KL:
            self._warn(session, "posterior", f"the KL divergence is {scores['kl']:.2g} nats")
        elif scores.get("active") == 0:
            unused = f"none of the {scores['latents']:.0f} latents varies with the example"
            self._warn(session, "posterior", unused)
        if "distinct" in scores:  # a game, which has a watch of its own
            return
        if scores.get("sample_spread", math.inf) < COLLAPSED_SPREAD:
            spread = f"the samples vary {scores['sample_spread']:.1%} as much as the data"
            self._warn(session, "samples", spread)

    def _warn(self, session: Session, what: str, why: str) -> None:
        if what not in self.warned:
            self.warned.append(what)
            try_this = f". {REMEDIES[what]}" if what in REMEDIES else ""
            session.note(f"warning: {what} collapse at step {session.step}: {why}{try_this}")
            session.log("warning", {"collapse": what})

    def state_dict(self) -> dict[str, object]:
        """Return what was warned of."""
        return {"warned": self.warned} if self.warned else {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Take over what `state_dict` returned."""
        warned = state["warned"]
        assert isinstance(warned, list)
        self.warned = warned
