"""Data of which few examples have labels."""

import pytest
import torch

from genus.data import ArraySplit, load_data
from genus.data.labelled import UNLABELLED, Alternating, alternate, keep_labels, show_labels
from genus.errors import ConfigError, DataError


def whole(n=40, classes=4):
    x = torch.arange(n).view(n, 1)
    return ArraySplit(x, x.flatten() % classes)


def alternating(*shown):
    split = whole()
    y = torch.full((40,), UNLABELLED)
    y[list(shown)] = split.y[list(shown)]
    return Alternating(split, y)


def test_every_example_comes_once_without_and_the_labelled_ones_often_with_their_label():
    split = alternating(3, 10)
    batch = split.batch(torch.arange(len(split)))
    hidden = batch.y == UNLABELLED
    assert batch.x[hidden].flatten().tolist() == list(range(40))
    assert set(batch.x[~hidden].flatten().tolist()) == {3, 10}
    assert (batch.x[~hidden].flatten() % 4 == batch.y[~hidden]).all()
    assert int(hidden.sum()) == int((~hidden).sum())
    assert torch.equal(batch.y, split.y)


def test_rows_come_in_any_order():
    split = alternating(3, 10)
    rows = torch.tensor([41, 0, 79, 39])
    assert split.batch(rows).x.flatten().tolist() == [10, 0, 10, 39]
    assert split.batch(rows).y.tolist() == [2, -1, 2, -1]


def test_data_show_every_example_once_and_training_takes_them_in_turns():
    data = load_data("digits", labelled=30)
    assert len(data.train) == 1257
    assert int((data.train.y != UNLABELLED).sum()) == 30
    assert len(alternate(data).train) == 1257 + 42 * 30
    assert alternate(load_data("digits")).train.y.min() == 0  # as it was


def test_the_kept_labels_are_balanced_and_others_are_hidden_from_training_alone():
    data = load_data("digits", labelled=30)
    assert data.labelled == 30
    counts = data.class_counts("train")
    assert counts.min() == counts.max()
    assert data.class_counts("valid").sum() == 180
    assert data.digest == load_data("digits").digest
    assert "30 of 1,257 training examples keep their labels" in data.notes[-1]


def test_a_seed_chooses_and_the_source_loads_the_same_again():
    first, other = load_data("digits", labelled=30), load_data("digits", labelled=30, seed=1)
    assert not torch.equal(first.train.y, other.train.y)
    again = load_data(**other.source)
    assert torch.equal(again.train.y, other.train.y)


def test_hidden_labels_can_be_shown_again():
    data = load_data("digits")
    shown = show_labels(keep_labels(data, 20))
    assert shown.train is data.train
    assert shown.labelled is None


@pytest.mark.parametrize(
    ("name", "labelled", "kind", "words"),
    [
        ("digits", 0, ConfigError, "0 labels are too few for 10 classes"),
        ("digits", 9, ConfigError, "ask for 10 at least"),
        ("digits", 2000, DataError, "2,000 labels in balance take 200 of class"),
        ("patches", 20, DataError, "patches has no labels"),
    ],
)
def test_impossible_numbers_of_labels_are_refused(name, labelled, kind, words):
    with pytest.raises(kind, match=words):
        load_data(name, labelled=labelled)


def test_some_of_the_labels_that_a_table_has_can_be_hidden(tmp_path):
    rows = "".join(f"{i % 9},{i % 7},{('a', 'b', '')[i % 3]}\n" for i in range(90))
    (tmp_path / "t.csv").write_text("x,y,kind\n" + rows)
    data = load_data(tmp_path / "t.csv", label="kind")
    few = load_data(tmp_path / "t.csv", label="kind", labelled=10)
    assert (data.labelled, few.labelled) == (48, 10)
    assert few.class_counts("train").tolist() == [5, 5]
    assert show_labels(few).labelled == 48
    assert torch.equal(show_labels(few).train.y, data.train.y)
