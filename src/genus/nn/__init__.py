"""Network blocks that several models share."""

from genus.nn.causal import CausalConv2d as CausalConv2d
from genus.nn.causal import RowConv2d as RowConv2d
from genus.nn.cursor import Cursor as Cursor
from genus.nn.row_lstm import RowLSTM as RowLSTM
