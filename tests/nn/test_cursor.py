"""What a stream remembers: rows, windows, row steps, and rearranging all of it."""

import pytest
import torch
import torch.nn.functional as F

from genus.families.stream_memory import held_bytes
from genus.nn import CausalConv2d, Cursor, RowConv2d, RowLSTM


def walk(cursor: Cursor):
    """Visit every position of the cursor's map."""
    for row in range(cursor.height):
        for column in range(cursor.width):
            assert (cursor.row, cursor.column) == (row, column)
            yield row, column
            cursor.advance()


@pytest.mark.parametrize("size", [(4, 6), (1, 5), (5, 1)])
@pytest.mark.parametrize("kernel", [(2, 3), (3, 5), (1, 1), (1, 3), (4, 1), (2, 2)])
def test_patches_are_what_a_kernel_sees(size: tuple[int, int], kernel: tuple[int, int]) -> None:
    (H, W), (R, S) = size, kernel
    x = torch.randn(2, 3, H, W)
    padded = F.pad(x, (S // 2, S - 1 - S // 2, R - 1, 0))
    cursor = Cursor(H, W)
    for row, column in walk(cursor):
        if column:
            continue
        patches = cursor.patches("a", x[:, :, row].permute(2, 0, 1), R, S).view(W, 2, R, S, 3)
        for c in range(W):
            window = padded[:, :, row : row + R, c : c + S]
            assert torch.equal(patches[c], window.permute(0, 2, 3, 1))


def test_a_row_is_filled_from_the_left_and_can_be_read_below() -> None:
    x = torch.randn(3, 4, 5, 2)  # rows, columns, batch, features
    cursor, side = Cursor(3, 4), 2
    for row, column in walk(cursor):
        if column == 0:
            above = cursor.row_above("a", x[row, column])
            assert torch.equal(above, x[row - 1] if row else torch.zeros(4, 5, 2))
        window = cursor.put("a", x[row, column], side).view(5, side + 1, 2)
        for back in range(side + 1):
            seen = x[row, column - back] if column >= back else torch.zeros(5, 2)
            assert torch.equal(window[:, side - back], seen)


def test_what_is_computed_once_a_row_comes_pixel_by_pixel() -> None:
    cursor, calls = Cursor(2, 3), []
    maps = torch.randn(2, 5, 4, 1, 3)  # rows, batch, features, 1, columns

    def compute() -> list[torch.Tensor]:
        calls.append(cursor.row)
        return [maps[cursor.row], maps[cursor.row][:, :, 0]]

    for row, column in walk(cursor):
        pixel, vector = cursor.once_a_row("a", compute)
        assert torch.equal(pixel, maps[row][..., column : column + 1])
        assert torch.equal(vector, maps[row][:, :, 0, column])
    assert calls == [0, 1]


def test_the_image_above_is_the_row_that_was_recorded() -> None:
    u = torch.randn(2, 3, 4, 5)
    cursor = Cursor(4, 5)
    for row, column in walk(cursor):
        above = cursor.above(u)
        expected = u[:, :, row - 1 : row] if row else torch.zeros(2, 3, 1, 5)
        assert torch.equal(above, expected)
        cursor.record(u[:, :, row : row + 1, column : column + 1])


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (3, 5), (1, 3)])
@pytest.mark.parametrize("size", [(4, 6), (1, 5), (5, 1)])
def test_a_row_at_a_time_equals_the_whole_map(
    size: tuple[int, int], kernel: tuple[int, int], strict: bool
) -> None:
    torch.manual_seed(0)
    layer = RowConv2d(3, 4, kernel, strict=strict).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    whole, cursor = layer(x), Cursor(*size)
    for row, column in walk(cursor):
        if column == 0:
            seen = row - strict  # in the first row of a strict layer, it does not matter what
            out = layer(x[:, :, seen : seen + 1] if seen >= 0 else x[:, :, :1], cursor)
            torch.testing.assert_close(out, whole[:, :, row : row + 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", [(1, 1), (1, 5), (5, 3), (3, 1), (2, 2)])
def test_a_pixel_may_be_a_vector_and_another_be_added(kernel: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    layer = CausalConv2d("B", 3, 4, kernel, bias=bias).double()
    x, plus = (torch.randn(2, F_, 4, 5, dtype=torch.float64) for F_ in (3, 4))
    whole = layer(x) + plus
    cursor = Cursor(4, 5)
    for row, column in walk(cursor):
        pixel, more = x[:, :, row, column], plus[:, :, row, column]
        if column % 2:
            out = layer(pixel[:, :, None, None], cursor)[:, :, 0, 0] + more
        else:
            out = layer.step(pixel, cursor, more)
        torch.testing.assert_close(out, whole[:, :, row, column], rtol=0, atol=1e-12)


def test_select_rearranges_all_that_is_remembered() -> None:
    """A stream that is rearranged goes on as a stream that was always so arranged."""
    torch.manual_seed(0)
    pixels = CausalConv2d("B", 3, 3, (5, 3)).double()
    rows = RowConv2d(3, 3, (3, 3), strict=True).double()
    x = torch.randn(3, 3, 4, 5, dtype=torch.float64)
    cursor = Cursor(4, 5)
    for row, column in walk(cursor):
        index = torch.randint(len(x), (len(x) + (column == 2),))
        cursor.select(index)
        x = x[index]
        pixel = x[:, :, row : row + 1, column : column + 1]
        [above] = cursor.once_a_row(rows, lambda p=pixel: [rows(cursor.above(p), cursor)])
        out = torch.cat([pixels(pixel, cursor), above], 1)
        whole = torch.cat([pixels(x), rows(x)], 1)[:, :, row : row + 1, column : column + 1]
        torch.testing.assert_close(out, whole, rtol=0, atol=1e-12)
        cursor.record(pixel)


def test_select_keeps_the_layout_and_the_cost_is_known() -> None:
    cursor = Cursor(2, 3)
    kept = cursor.memory("a", lambda: torch.zeros(4, 2, 3, 5).permute(2, 0, 1, 3))
    assert held_bytes(cursor) == kept.numel() * 4
    cursor.select(torch.tensor([0, 0, 1, 2, 2, 2]))
    now = cursor.memory("a", lambda: pytest.fail("made already"))
    assert now.shape == (6, 4, 2, 5)
    assert now.permute(1, 2, 0, 3).is_contiguous()
    assert held_bytes(cursor) == 2 * kept.numel() * 4


def test_views_are_made_anew_after_select_and_room_is_counted_once() -> None:
    cursor = Cursor(2, 3)
    kept = cursor.memory("a", lambda: torch.arange(4.0))

    def make() -> tuple[torch.Tensor, list[torch.Tensor]]:
        return cursor.memory("a", torch.empty(0).clone)[:2], [torch.zeros(5)]

    view, _ = cursor.views("b", make)
    assert cursor.views("b", lambda: pytest.fail("made already"))[0] is view
    assert view.data_ptr() == kept.data_ptr()
    assert held_bytes(cursor) == (4 + 5) * 4, "a view is no room of its own"
    assert cursor.constant("c", lambda: (kept, kept)) == (kept, kept)
    assert held_bytes(cursor) == (4 + 5) * 4
    cursor.select(torch.tensor([3, 0]))
    assert cursor.views("b", make)[0].tolist() == [3, 0]


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("size", [(3, 1), (1, 1), (3, 4)])
@pytest.mark.parametrize("kind", ["conv", "lstm"])
def test_a_pixel_may_be_asked_for_again(kind: str, size: tuple[int, int], batch: int) -> None:
    """As it is for each colour; in a batch of one, a row of one pixel has no layout of its own."""
    torch.manual_seed(0)
    layer = (CausalConv2d("B", 2, 3, (5, 3)) if kind == "conv" else RowLSTM(2, 3)).double()
    x = torch.randn(batch, 2, *size, dtype=torch.float64)
    whole, cursor = layer(x), Cursor(*size)
    for row, column in walk(cursor):
        pixel = x[:, :, row : row + 1, column : column + 1]
        for shown in (torch.randn_like(pixel), pixel):
            out = layer(shown, cursor)
        torch.testing.assert_close(out[:, :, 0, 0], whole[:, :, row, column], rtol=0, atol=1e-12)
