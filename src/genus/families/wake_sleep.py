r"""The wake-sleep algorithm: what fine-tunes directed layers whose way up is a law of its own.

Awake, hidden states are drawn upwards from data, and the way down learns to make what is below
them. Asleep, the network dreams, and the way up learns to tell what a dream was made of:

.. math:: -\mathbb E_{q(h \mid x)} \log p(x \mid h), \qquad -\mathbb E_{p(x, h)} \log q(h \mid x)

With k states for each example and weights :math:`w_i \propto p(x, h_i) / q(h_i \mid x)`, which sum
to one, what is learned awake is an average over something nearer to the posterior: all machines
climb the bound of k samples. The way up then learns awake as well:

.. math:: -\sum_i w_i \log p(x, h_i), \qquad -\sum_i w_i \log q(h_i \mid x)

References:
    | The Wake-Sleep Algorithm for Unsupervised Neural Networks (Hinton et al., 1995)
    | A Fast Learning Algorithm for Deep Belief Nets (Hinton, Osindero and Teh, 2006), section 5
    | Reweighted Wake-Sleep (Bornschein and Bengio, 2015) https://arxiv.org/abs/1406.2751
"""

# Shapes: B batch, G entries of a layer, N its units, H hidden units.
from __future__ import annotations

import torch
from torch import Tensor, nn

from genus.families.bipartite import Group, Machine


class Untied(nn.Module):
    """What the way up and the way down through a machine add to its weights, zero at first.

    Weights are tied while machines are trained one upon another. Fine-tuning unties them, and with
    differences that are learned no weights need to be copied when it begins. The machine itself
    learns no more, so that one above that is this one turned over stays as it is.

    Args:
        units: N, visible units of the machine.
        hidden: H.

    Example:
        >>> group = Group(2, torch.ones(3, 2), torch.zeros(3))
        >>> ways = Untied(3, 2)
        >>> ways.up(Machine((group,), torch.zeros(2)), torch.ones(1, 3))
        tensor([[3., 3.]], grad_fn=<AddBackward0>)
    """

    def __init__(self, units: int, hidden: int) -> None:
        super().__init__()
        self.up_NH = nn.Parameter(torch.zeros(units, hidden))
        self.up_H = nn.Parameter(torch.zeros(hidden))
        self.down_NH = nn.Parameter(torch.zeros(units, hidden))
        self.down_N = nn.Parameter(torch.zeros(units))

    def up(self, machine: Machine, below_BG: Tensor) -> Tensor:
        """Return ``(B, H)``, the inputs of the hidden units.

        Args:
            machine: with one visible layer.
            below_BG: its values.
        """
        group = machine.groups[0]
        own = Group(group.values, group.weight_NH.detach() + self.up_NH, group.bias_N)
        return machine.bias_H.detach() + self.up_H + own.to_hidden(group.as_state(below_BG))

    def down(self, group: Group) -> Group:
        """Return the law of the visible layer."""
        weight_NH, bias_N = group.weight_NH.detach(), group.bias_N.detach()
        return Group(group.values, weight_NH + self.down_NH, bias_N + self.down_N)


def log_bernoulli(input_BH: Tensor, h_BH: Tensor) -> Tensor:
    """Return ``(B,)``, the log-probability of hidden states whose units have these inputs."""
    return (h_BH * input_BH - nn.functional.softplus(input_BH)).sum(1)
