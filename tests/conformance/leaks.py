"""Shipped models with the leaks that are common in public code, each in one line or two."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from tests.conformance.bugs import bug

from genus.models.diagonal_bilstm import DiagonalBiLSTM
from genus.models.fvsbn import FVSBN
from genus.models.gated_pixelcnn import GatedPixelCNN
from genus.models.ladder_vae import LadderVAE
from genus.models.made import MADE
from genus.models.multiscale_pixelrnn import MultiscalePixelRNN
from genus.models.nade import NADE
from genus.models.pixel_transformer import PixelTransformer
from genus.models.pixelcnn import PixelCNN
from genus.models.pixelcnn_plus import PixelCNNPlusPlus
from genus.models.pixelsnail import PixelSNAIL
from genus.models.row_lstm import RowLSTMModel
from genus.nn.causal import CausalConv2d, RowConv2d
from genus.nn.diagonal_lstm import DiagonalLSTM
from genus.nn.row_lstm import RowLSTM
from genus.spec import Spec

GREY = Spec(shape=(1, 3, 4), levels=2)
COLOUR = Spec(shape=(3, 2, 3), levels=3)
LEAK = ("causality.perturbation", "causality.jacobian")


@bug(*LEAK, spec=GREY)
class SeesItself(PixelCNN):
    """The first mask is of type B."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        old = self.first
        self.first = CausalConv2d("B", old.in_channels, old.out_channels, (3, 3))


@bug(*LEAK, spec=COLOUR)
class GroupsAcrossGates(RowLSTMModel):
    """Colours are laid over all four gates together, which are split apart afterwards."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        for module in self.modules():
            if isinstance(module, RowLSTM):
                old = module.input_to_state
                module.input_to_state = CausalConv2d(
                    "B", old.in_channels, old.out_channels, (1, 3), colours=spec.shape[0]
                )


@bug(*LEAK, spec=GREY)
class RowsUnshifted(GatedPixelCNN):
    """The vertical stack takes in the pixel's own row."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        old = self.above
        self.above = RowConv2d(old.in_channels, old.out_channels, old.kernel_size)


class UnshiftedDiagonals(DiagonalLSTM):
    def forward(self, x_BIHW, cursor=None):
        """Turn the map upside down by one row: what was shifted down comes back up."""
        shifted = super().forward(x_BIHW, cursor)
        return shifted if cursor is not None else shifted + shifted.roll(-1, 2)


@bug(*LEAK, "sampling.stream", spec=GREY)
class RightHalfUnshifted(DiagonalBiLSTM):
    """The half from the right is not shifted down by a row."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        for module in self.modules():
            if isinstance(module, DiagonalLSTM):
                module.__class__ = UnshiftedDiagonals


@bug(*LEAK, spec=GREY)
class AttendsToItself(PixelSNAIL):
    """Keys hold the pixel's own value, and attention is not strict."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        for block in self.blocks:
            block.attention.strict = False


@bug(*LEAK, spec=COLOUR)
class KeysOfOtherColours(PixelSNAIL):
    """A map that mixes colours is put in front of the head."""

    def maps(self, u_BCHW, y_B, cursor=None, given_BGHW=None):
        x = super().maps(u_BCHW, y_B, cursor, given_BGHW)
        return x + x.mean(1, keepdim=True)


@bug(*LEAK, "sampling.stream", spec=GREY)
class InputsUnshifted(PixelTransformer):
    """Each position is shown its own value."""

    def hidden(self, u, y):
        u_BT = (u.permute(0, 2, 3, 1) if self.spec.is_image else u).flatten(1)
        return self.decoder(self.values(u_BT, self.index_T), y)


@bug(*LEAK, spec=GREY)
class LeftUnshifted(PixelCNNPlusPlus):
    """The horizontal stream begins with the pixel itself."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.left.strict = False


@bug(*LEAK, spec=GREY)
class UpsampledTooFar(PixelCNNPlusPlus):
    """On the way up, each pixel takes the place of its right neighbour."""

    def maps(self, u_BCHW, y_B, cursor=None, given_BGHW=None):
        x = super().maps(u_BCHW, y_B, cursor, given_BGHW)
        return x if cursor is not None else F.pad(x, (0, 1))[..., 1:]


@bug("sampling.stream", spec=GREY)
class TellsTheRowAbove(MultiscalePixelRNN):
    """Streaming, a pixel is told what the map says of the pixel above it."""

    def _begin(self, x_BChw, y_B):
        stream = self.large.stream(len(x_BChw), y_B)
        self.large.condition(stream.cursor, self._map(self.scaled(x_BChw)).roll(1, 2))
        return stream


@bug(*LEAK, spec=GREY)
class ScoresTheSmallAgain(MultiscalePixelRNN):
    """Pixels of the small image are scored by the network that is shown them."""

    def parameters_of(self, u_BCHW, y_B):
        s = self.config.scale
        given = self._map(u_BCHW[:, :, ::s, ::s])
        return self.large.outputs(self.large.maps(u_BCHW, y_B, None, given))


@bug(*LEAK, spec=GREY)
class DegreesOffByOne(MADE):
    """Outputs see units of their own degree."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.net.last.until_O = self.net.last.until_O + 1


@bug(*LEAK, spec=GREY)
class SumsOffByOne(NADE):
    """The entry is added to the sums before its own law is read."""

    def outputs(self, e_BDE, y_B):
        later = super().outputs(e_BDE, y_B)
        return later + e_BDE


@bug(*LEAK, spec=GREY)
class RegressionOnItself(FVSBN):
    """The diagonal of the weights is not masked."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.linear.until_O = self.linear.until_O + 1
        torch.nn.init.normal_(self.linear.weight)


@bug("sampling.stream", spec=GREY)
class ForgetsItsRow(RowLSTMModel):
    """The stream never tells the first layer what was drawn."""

    def remember(self, u_BC11, cursor):
        pass


PIXELVAE = {**LadderVAE.tiny, "groups": 1, "decoder": "pixelcnn"}


@bug("decoder.causality", spec=GREY)
class DecoderSeesItself(LadderVAE):
    """The first mask of the pixel network at the end of the decoder is of type B."""

    tiny = PIXELVAE

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        old = self.pixels.network.first
        self.pixels.network.first = CausalConv2d(
            "B", old.in_channels, old.out_channels, old.kernel_size
        )


@bug("decoder.stream", spec=GREY)
class StreamIsNotTold(LadderVAE):
    """The stream of the pixel network runs without what the latents say."""

    tiny = PIXELVAE

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        told = self.pixels._stream
        self.pixels._stream = lambda given: told(torch.zeros_like(given))
