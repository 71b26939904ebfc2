import gzip

import numpy as np
import pytest
import torch

from genus.data import as_arrays, load_data
from genus.data.labelled import alternate
from genus.errors import DataError

PLAIN = "1,2.5,x\n2,3.5,y\n3,4.5,x\n4,5.5,y\n5,6,x\n"


@pytest.fixture
def csv(tmp_path):
    def write(text, name="t.csv"):
        (tmp_path / name).write_bytes(text.encode())
        return tmp_path / name

    return write


def all_rows(data):
    return np.concatenate([as_arrays(part).x.numpy() for part in data.splits.values()])


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("head", ["", "a,b,kind\n"])
def test_header_and_separators(csv, mark, head):
    data = load_data(csv((head + PLAIN).replace(",", mark)), label="3")
    assert data.spec.to_json() == {"shape": [2], "levels": None, "classes": 2}
    assert data.labels == ("x", "y")
    assert data.value_names == (("a", "b") if head else ("column 1", "column 2"))
    assert sorted(all_rows(data)[:, 0]) == [1, 2, 3, 4, 5]


def test_label_by_name_and_gzip(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(("a,b,kind\n" + PLAIN).encode()))
    assert load_data(tmp_path / "t.csv.gz", label="kind").labels == ("x", "y")
    with pytest.raises(DataError, match=r"no column 'kin' for --label; did you mean kind\?"):
        load_data(tmp_path / "t.csv.gz", label="kin")


def test_number_labels_are_sorted_as_numbers(csv):
    rows = "".join(f"{i}.5,{(9, 10)[i % 2]}\n" for i in range(6))
    assert load_data(csv(rows), label="2").labels == ("9", "10")


def test_levels_make_whole_numbers_levels(csv):
    data = load_data(csv("0,1\n2,1\n1,1\n0,0\n"), levels=3)
    assert data.spec.levels == 3


def test_byte_order_mark_quotes_and_blanks(csv):
    data = load_data(csv('\ufeff"a ", b\r\n1, 2\r\n3,"4"\r\n5 ,6\r\n'))
    assert data.value_names == ("a", "b")
    assert sorted(all_rows(data)[:, 1]) == [2, 4, 6]


def test_every_column_that_is_not_numbers_is_named(csv):
    with pytest.raises(DataError) as error:
        load_data(csv("age,job,city,pay\n1,cook,Rome,2\n2,,Oslo,?\n3,clerk,Bern,4\n"))
    message = str(error.value)
    assert "2 columns are not numbers; drop or encode them, or name the one with the" in message
    assert "'job': text in 2 rows, the first 'cook' in line 2\n" in message
    assert "'pay'" not in message


HOLES = "a,b,c\n1,?,3\n,,\n0,NA,\n4,5,nan\n7,1e3, \n2,2,2\n9,8,null\n3,none,1\nN/A,4,0\n"


def test_missing_cells_are_known_to_be_missing(csv):
    data = load_data(csv(HOLES), seed=1)
    missing = data.missing
    assert (missing.cells, missing.of, missing.rows) == (8, 24, 7)
    assert dict(missing.columns) == {"a": 1, "b": 3, "c": 4}
    assert data.notes[-2:] == (
        "1 rows without any value were left out, the first in line 3",
        "8 of 24 cells are missing (33.3%), in 7 rows: 'c' (4), 'b' (3), 'a' (1)",
    )
    cells = [
        [value if known else None for value, known in zip(x, mask, strict=True)]
        for part in (as_arrays(split) for split in data.splits.values())
        for x, mask in zip(
            part.x.tolist(),
            (torch.ones_like(part.x).bool() if part.known is None else part.known).tolist(),
            strict=True,
        )
    ]
    rows = [[1, None, 3], [0, None, None], [4, 5, None], [7, 1000, None], [2, 2, 2]]
    rows += [[9, 8, None], [3, None, 1], [None, 4, 0]]
    assert sorted(map(str, cells)) == sorted(map(str, map(_floats, rows)))


def _floats(row):
    return [None if cell is None else float(cell) for cell in row]


def test_zero_stands_where_nothing_is_known(csv):
    data = load_data(csv(HOLES), seed=1)
    batch = as_arrays(data.train)
    assert not batch.x[~batch.known].any()
    assert bool(batch.x.isfinite().all())
    some = data.train.batch(torch.tensor([2, 0]))
    assert torch.equal(some.known, batch.known[[2, 0]])


def test_the_digest_tells_missing_from_zero(csv):
    holes = load_data(csv(HOLES), seed=1)
    filled = HOLES.replace("\n,,", "").replace("?", "0").replace("N/A", "0").replace("NA", "0")
    for mark in ("nan", "null", "none", " ", ",\n"):
        filled = filled.replace(mark, {",\n": ",0\n"}.get(mark, "0"))
    whole = load_data(csv(filled, "whole.csv"), seed=1)
    assert whole.missing is None
    assert as_arrays(whole.train).known is None
    assert torch.equal(as_arrays(whole.train).x, as_arrays(holes.train).x)
    assert whole.digest != holes.digest
    other = load_data(csv(HOLES.replace("?", "").replace("null", "")), seed=1)
    assert other.digest == holes.digest


def test_levels_may_be_missing(csv):
    data = load_data(csv("0,1\n2,\n1,1\n?,0\n1,2\n"), levels=3, seed=2)
    assert data.spec.levels == 3
    assert data.missing.cells == 2
    scaled = load_data(csv("0,1\n.5,\n1,1\n?,0\n.5,1\n"), levels=3, seed=2)
    assert scaled.train.x.dtype == torch.uint8
    assert int(scaled.train.x.max()) == 2


def test_a_header_above_a_missing_cell(csv):
    assert load_data(csv("a,b\n,?\n1,2\n3,4\n5,6\n")).value_names == ("a", "b")


def test_a_split_without_missing_cells(csv):
    text = "".join(f"{i},{'' if i == 0 else i * i}\n" for i in range(20))
    data = load_data(csv(text))
    masks = [as_arrays(part).known for part in data.splits.values()]
    assert sum(mask is not None for mask in masks) == 1


def test_labels_of_rows_that_are_left_out(csv):
    text = "".join(f"{i},{i % 7},{'ab'[i % 2]}\n" for i in range(20))
    data = load_data(csv("x,y,kind\n?,,a\n" + text), label="kind")
    assert sum(map(len, data.splits.values())) == 20
    assert data.missing is None


def test_rows_without_a_label_are_for_training_and_the_others_are_divided_as_ever(csv):
    text = "x,y,kind\n" + "".join(f"{i},{i % 7},{'ab'[i % 2]}\n" for i in range(40))
    whole = load_data(csv(text), label="kind")
    data = load_data(csv(text + "41,5,?\n42,6,\n"), label="kind")
    assert data.labelled == len(whole.train) == 32
    assert data.class_counts("train").tolist() == [16, 16]
    for split in ("valid", "test"):
        assert torch.equal(as_arrays(data.split(split)).x, as_arrays(whole.split(split)).x)
    assert len(data.train) == 34
    assert int((data.train.y == -1).sum()) == 2
    assert "32 of 34 training examples have labels" in data.notes


def test_labels_and_cells_may_be_missing_at_once(csv):
    text = "x,y,kind\n" + "".join(f"{i},{i % 7},{'ab'[i % 2]}\n" for i in range(40))
    data = load_data(csv(text + "41,5,?\n,6,a\n,7,\n"), label="kind")
    assert data.missing.cells == 2
    taken = alternate(data).train
    batch = taken.batch(torch.arange(len(taken)))
    assert batch.known.shape == batch.x.shape
    assert len(batch) > len(data.train)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "is empty; it needs one line for each example"),
        ("a,b\n", {}, "has a header and no rows"),
        (
            "1,2\n3\n4,5\n",
            {},
            r"(?s)1 lines do not have the 2 cells of the first; .*line 2: 1 cells",
        ),
        ("1,2\n3,4\n", {}, "add examples until there are 3 or more"),
        (",1\n?,2\nna,3\n", {"label": "1"}, "the label 'column 1' is missing in all 3 rows"),
        ("a\nb\na\n", {"label": "1"}, "has no column beside the label"),
        ("".join(f"{i},{i}\n" for i in range(9)), {"label": "2"}, "has 9 values in 9 rows; name a"),
        ("1,inf\n2,3\n4,5\n", {}, r"holds 1 NaN or infinite values, the first at index \(0, 1\)"),
        ("a,b\n1,?\n2,\n3,na\n4,nan\n", {}, "no example to train on has a value in 'b'; leave out"),
        ("1,inf\n2,?\n4,5\n", {}, r"holds 1 NaN or infinite values, the first at index \(0, 1\)"),
        (PLAIN, {"label": "9"}, "or a number from 1 to 3"),
        (PLAIN, {"gray": True}, "--gray cannot be used with the file"),
    ],
)
def test_unfit_tables_say_what_to_do(csv, text, options, message):
    with pytest.raises(DataError, match=message):
        load_data(csv(text), **options)


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"1,\xff\n")
    with pytest.raises(DataError, match=r"is not UTF-8 text .*; save it as UTF-8 CSV"):
        load_data(tmp_path / "t.csv")
