import gzip

import numpy as np
import pytest

from genus.data import as_arrays, load_data
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
    assert (
        "3 columns are not numbers; drop or encode them, fill in or drop missing cells" in message
    )
    assert "name the one with the class by --label:" in message
    assert (
        "'job': text in 2 rows, the first 'cook' in line 2 and 1 missing cells, the first"
        in message
    )
    assert "'pay': 1 missing cells, the first in line 3" in message


def test_nan_cells_are_missing(csv):
    with pytest.raises(DataError, match=r"(?s)1 columns have missing cells; fill in .*line 2"):
        load_data(csv("1,2\nnan,2\n3,4\n5,6\n"))


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
        (
            "x,1\n,2\ny,3\n",
            {"label": "1"},
            "the label 'column 1' is missing in 1 rows, the first in",
        ),
        ("a\nb\na\n", {"label": "1"}, "has no column beside the label"),
        ("".join(f"{i},{i}\n" for i in range(9)), {"label": "2"}, "has 9 values in 9 rows; name a"),
        ("1,inf\n2,3\n4,5\n", {}, r"holds 1 NaN or infinite values, the first at index \(0, 1\)"),
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
