"""The family's loop: what it adds up, when it stops, and what it keeps."""

import math

import pytest
import torch

from genus import create
from genus.capabilities import FitContext
from genus.errors import DataError, SpecError
from genus.families import closed_form
from genus.families.closed_form import ClosedForm
from genus.spec import Batch, Spec


class Counter(ClosedForm):
    """Climbs a staircase: each update gains half of what the last one did."""

    iterations = 20
    tolerance = 0.1

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.register_buffer("height", torch.zeros(()))
        self.register_buffer("total", torch.zeros(()))
        self.begun = []

    def begin(self, seen, generator):
        self.begun.append(seen)
        self.height.zero_()

    def statistics(self, batch):
        return {"x": batch.x.sum()}

    def update(self, total):
        self.total.copy_(total["x"])
        objective = float(self.height)
        self.height.add_((2 - self.height) / 2)
        return {"objective": objective}


VECTOR = Spec(shape=(3,), levels=100)


def rows(n, start=0):
    return torch.arange(start, start + n).unsqueeze(1).expand(n, 3)


def test_statistics_are_summed_over_uneven_batches(monkeypatch):
    monkeypatch.setattr(closed_form, "CHUNK", 9)  # three rows of three entries
    model = Counter(VECTOR)
    model.fit(lambda: [Batch(rows(4)), Batch(rows(0)), Batch(rows(1, 50)), Batch(rows(2, 7))])
    assert model.total == 3 * (0 + 1 + 2 + 3 + 50 + 7 + 8)


def test_a_large_batch_is_counted_in_pieces(monkeypatch):
    monkeypatch.setattr(closed_form, "CHUNK", 9)
    sizes = []

    class Sized(Counter):
        def statistics(self, batch):
            sizes.append(len(batch))
            return super().statistics(batch)

    model = Sized(VECTOR)
    model.iterations = 1
    model.fit(lambda: [Batch(rows(8)), Batch(rows(1))])
    assert sizes == [3, 3, 2, 1]
    assert model.total == 3 * sum(range(8))


def test_missing_entries_reach_only_models_that_take_them(monkeypatch):
    monkeypatch.setattr(closed_form, "CHUNK", 30)
    known = torch.ones(4, 3, dtype=torch.bool)
    known[1] = False
    seen = []

    class Missing(Counter):
        fits_missing = True
        seeds = 3

        def statistics(self, batch):
            seen.append(batch)
            return {"x": (batch.x * batch.known).sum()}

    model = Missing(VECTOR)
    model.iterations = 1
    strange = torch.where(known, rows(4), -5)  # what stands there is not looked at
    model.fit(lambda: [Batch(strange, None, known), Batch(rows(2, 50))])
    assert model.total == 3 * (0 + 2 + 3 + 50 + 51)
    assert int(seen[0].known.sum()) == 15
    assert model.begun[0].known.shape == (3, 3)
    with pytest.raises(DataError, match="missing entries"):
        Counter(VECTOR).fit(lambda: [Batch(strange, None, known)])
    with pytest.raises(SpecError, match="boolean mask"):
        model.fit(lambda: [Batch(strange, None, known.long())])


def test_criteria_count_what_is_free():
    class Fair(Counter):
        def conditional_log_prob(self, x, y):
            return -torch.ones(len(x))

        def free_parameters(self):
            return 5

    model = Fair(VECTOR)
    assert model.aic(rows(10)) == pytest.approx(2 * 5 + 2 * 10)
    assert model.bic(rows(10)) == pytest.approx(5 * math.log(10) + 2 * 10)
    with pytest.raises(DataError, match="at least one example"):
        model.bic(rows(0))
    with pytest.raises(DataError, match="cannot score examples with missing"):
        model.bic(Batch(rows(2), None, torch.ones(2, 3, dtype=torch.bool)))
    labelled = Fair(Spec(shape=(3,), levels=100, classes=2))
    batch = Batch(rows(4), torch.tensor([0, 1, 1, 0]))
    assert labelled.aic(batch) == pytest.approx(2 * 5 + 2 * 4 * (1 + math.log(2)), rel=1e-6)


def test_statistics_are_summed_over_processes():
    model = Counter(VECTOR)
    model.fit(lambda: [Batch(rows(4))], FitContext(reduce=lambda tensor: 2 * tensor))
    assert model.total == 2 * 3 * (0 + 1 + 2 + 3)


def test_it_stops_when_little_is_gained():
    log = []
    Counter(VECTOR).fit(lambda: [Batch(rows(4))], FitContext(log=log.append))
    # Heights 0, 1, 1.5, 1.75, 1.875, 1.9375: the last gains less than a tenth.
    assert [entry["iteration"] for entry in log] == [0, 1, 2, 3, 4, 5]


def test_it_stops_when_the_time_is_over():
    log = []
    model = Counter(VECTOR)
    model.restarts = 3
    model.fit(lambda: [Batch(rows(4))], FitContext(log=log.append, stop=lambda: len(log) >= 2))
    assert len(log) == 2


def test_begin_sees_an_even_sample_with_its_labels(monkeypatch):
    monkeypatch.setattr(closed_form, "CHUNK", 30)
    counts = torch.zeros(60)
    spec = Spec(shape=(3,), levels=100, classes=60)
    for seed in range(300):
        model = Counter(spec)
        model.seeds, model.iterations = 6, 1
        data = [Batch(rows(25), torch.arange(25)), Batch(rows(35, 25), torch.arange(25, 60))]
        model.fit(lambda data=data: data, FitContext(torch.Generator().manual_seed(seed)))
        (seen,) = model.begun
        assert len(seen) == 6
        assert torch.equal(seen.x[:, 0], seen.y)
        assert len(seen.y.unique()) == 6
        counts += torch.bincount(seen.y, minlength=60)
    # 1800 draws over 60 rows: chi-square with 59 degrees of freedom, 99.99 % below 110.
    assert ((counts - 30).square() / 30).sum() < 110


class Lottery(Counter):
    """A restart is as good as its draw."""

    iterations = 1
    seeds = 1

    def begin(self, seen, generator):
        self.height.copy_(torch.rand((), generator=generator))

    def update(self, total):
        return {"objective": float(self.height)}


def test_the_best_restart_is_kept():
    log = []
    model = Lottery(VECTOR)
    model.restarts = 5
    context = FitContext(torch.Generator().manual_seed(0), log=log.append)
    model.fit(lambda: [Batch(rows(1))], context)
    reached = [entry["objective"] for entry in log]
    assert len(set(reached)) == 5
    assert float(model.height) == max(reached) != reached[-1]


def test_every_process_begins_where_the_first_does():
    sent = []

    def reduce(tensor):
        sent.append(tensor.clone())
        return tensor

    model = Lottery(VECTOR)
    model.fit(lambda: [Batch(rows(1))], FitContext(reduce=reduce, rank=1))
    assert float(model.height) == 0  # what a process that is not the first hands in is zero


def test_labels_set_the_class_prior():
    model = Counter(Spec(shape=(3,), levels=100, classes=2))
    model.fit(lambda: [Batch(rows(3), torch.tensor([0, 1, 1]))])
    assert torch.allclose(model.log_prior_Y.exp(), torch.tensor([2 / 5, 3 / 5]))


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(DataError, match="no examples"):
        Counter(VECTOR).fit(list)
    with pytest.raises(DataError, match=r"spec\.unconditional"):
        Counter(Spec(shape=(3,), levels=100, classes=2)).fit(lambda: [Batch(rows(3))])
    with pytest.raises(SpecError, match="outside"):
        Counter(VECTOR).fit(lambda: [Batch(rows(3, 99))])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16])
def test_levels_of_any_integer_type_are_counted(dtype):
    x = torch.randint(256, (50, 3), generator=torch.Generator().manual_seed(0))
    shares = []
    for batch in (x, x.to(dtype)):
        model = create("independent", Spec((3,), 256))
        model.fit(lambda batch=batch: [Batch(batch)], FitContext(torch.Generator()))
        shares.append(model.log_prob(x))
    assert torch.equal(*shares)
