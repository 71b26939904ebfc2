"""Completion of the autoregressive family, held against Bayes' rule by enumeration."""

from __future__ import annotations

import itertools
import math
from unittest import mock

import pytest
import torch

from genus import Spec, create
from genus.capabilities import Completion
from genus.conformance.subject import settle
from genus.conformance.tools import all_examples, chi_square_p, index_of
from genus.families.autoregressive import Autoregressive
from genus.families.particles import Particles, entry_log_probs
from genus.registry import get

D = 5
# Entries 0 and 3 are missing: what is known at 1, 2 and 4 comes after the one, and after the other.
HOLES = torch.tensor([False, True, True, False, True])
TAIL = torch.tensor([True, True, True, False, False])


class Table(Autoregressive):
    """Any law at all of a few levels: a free row of logits for every past of every entry."""

    name = "table"

    def __init__(self, spec: Spec, spread: float = 2.0, seed: int = 0) -> None:
        super().__init__(spec)
        generator = torch.Generator().manual_seed(seed)
        self.place_D = spec.levels_or_raise ** torch.arange(spec.dims)
        pasts = spec.levels_or_raise**spec.dims
        shape = (spec.classes or 1, spec.dims, pasts, self.likelihood.width)
        logits = spread * torch.randn(shape, generator=generator, dtype=torch.float64)
        self.logits_YDMP = torch.nn.Parameter(logits)

    def parameters_of(self, u, y):
        levels = ((u.flatten(1) + 1) * (self.spec.levels_or_raise - 1) / 2).round().long()
        past_BD = (levels * self.place_D).cumsum(1) - levels * self.place_D
        y = torch.zeros(len(u), dtype=torch.long) if y is None else y
        found = self.logits_YDMP[y[:, None], torch.arange(self.spec.dims), past_BD]
        return found.view(*u.shape, -1)


def table(classes: int | None = None) -> Table:
    return Table(Spec(shape=(D,), levels=2, classes=classes)).eval()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def log_joint(model: Autoregressive, temperature: float = 1.0) -> torch.Tensor:
    """(Y, S): log p(y, x) of every example, of the model at that temperature."""
    x = all_examples(model.spec).flatten(1)
    labels = [None] if model.spec.classes is None else range(model.spec.classes)
    rows = []
    for label in labels:
        y = None if label is None else torch.full((len(x),), label)
        prior = 0.0 if label is None else model.log_prior_Y[label]
        rows.append(entry_log_probs(model, x, y, temperature).sum(1) + prior)
    return torch.stack(rows)


def truth(model, x, known, temperature=1.0, label=None):
    """(Y, S): p(y, x | what is known), and log p(known)."""
    every = all_examples(model.spec)
    agrees = ((every == x) | ~known).flatten(1).all(1)
    joint = log_joint(model, temperature).masked_fill(~agrees, -torch.inf)
    if label is not None:
        joint = joint[label : label + 1] - model.log_prior_Y[label]
    total = joint.flatten().logsumexp(0)
    return (joint - total).exp(), total


def many(model, x, known, n, seed=1, **options) -> Completion:
    """So many completions of one example, in wider streams than usual: the law is the same."""
    with mock.patch("genus.families.completion._side_by_side", return_value=128):
        return model.complete(
            x.expand(n, *x.shape), known.expand(n, *x.shape), generator=seeded(seed), **options
        )


def p_value(model, x, known, n=1500, temperature=1.0, label=None, **options) -> float:
    """Of the hypothesis that completions follow Bayes' rule."""
    posterior, _ = truth(model, x, known, temperature, label)
    y = None if label is None else torch.full((n,), label)
    done = many(model, x, known, n, y=y, temperature=temperature, **options)
    state = index_of(done.x, model.spec)
    if model.spec.classes is not None and label is None:
        state = state + done.y * posterior.shape[1]
    counts = torch.bincount(state, minlength=posterior.numel())
    possible = posterior.flatten() > 0
    assert counts[~possible].sum() == 0
    return chi_square_p(counts[possible], posterior.flatten()[possible])


def distance(model, x, known, n, **options) -> float:
    """Total variation between completions and Bayes' rule."""
    posterior, _ = truth(model, x, known)
    done = many(model, x, known, n, seed=2, **options)
    share = torch.bincount(index_of(done.x, model.spec), minlength=2**D) / n
    return float((share - posterior[0]).abs().sum() / 2)


X = torch.tensor([0, 1, 0, 0, 1])


def test_what_comes_last_is_drawn_exactly() -> None:
    model = table()
    done = model.complete(X[None], TAIL[None], generator=seeded())
    assert (done.exact, done.method) == (True, "ancestral")
    assert done.effective.tolist() == [math.inf]
    assert p_value(model, X, TAIL) > 1e-3


def test_the_blind_draw_is_not_the_conditional_and_particles_are() -> None:
    model = table()
    assert p_value(model, X, HOLES, method="ancestral") < 1e-12
    assert p_value(model, X, HOLES, particles=256) > 1e-3


def test_more_particles_are_nearer_to_the_truth() -> None:
    model = table()
    blind = distance(model, X, HOLES, 2000, method="ancestral")
    one, some, more, most = (distance(model, X, HOLES, 2000, particles=n) for n in (1, 8, 64, 512))
    assert one == blind > 0.4  # one particle is the blind draw
    assert one > 1.5 * some > 2 * more > 3 * most
    assert most < 0.05


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_mask_is_completed_by_the_law(seed: int) -> None:
    model = Table(Spec(shape=(4,), levels=2), seed=seed).eval()
    x = model.sample(1, generator=seeded(seed))[0]
    for bits in itertools.product([False, True], repeat=4):
        assert p_value(model, x, torch.tensor(bits), n=600, particles=256) > 1e-4, bits


def estimates(model, known, x=X, runs=4000, particles=4) -> torch.Tensor:
    """Estimates of p(known) of so many runs, divided by the truth."""
    done = many(model, x, known, runs, seed=3, particles=particles, method="smc")
    return (done.log_known - truth(model, x, known)[1]).exp()


def z_score(ratios: torch.Tensor) -> float:
    return float((ratios.mean() - 1) / (ratios.std() / len(ratios) ** 0.5))


@pytest.mark.parametrize("classes", [None, 3])
def test_the_estimate_of_the_known_is_unbiased(classes: int | None) -> None:
    assert abs(z_score(estimates(table(classes), HOLES))) < 4


@pytest.mark.parametrize("particles", [1, 2, 8, 32])
def test_resampling_leaves_the_estimate_unbiased(particles: int) -> None:
    ratios = estimates(echo(), ECHOED, HEARD, particles=particles)
    assert ratios.std() > 0.05
    assert abs(z_score(ratios)) < 4


def echo() -> Table:
    """A table in which entries 1 and 3 mostly repeat the one before: what is known weighs much."""
    model = Table(Spec(shape=(D,), levels=3), spread=1.0, seed=2)
    past = torch.arange(3**D)
    with torch.no_grad():
        for entry in (1, 3):
            before = past // 3 ** (entry - 1) % 3
            model.logits_YDMP[:, entry, past, before] += 3
    return model.eval()


ECHOED = torch.tensor([False, True, False, True, False])
HEARD = torch.tensor([0, 1, 0, 2, 0])


def forgets_drawn(self, index_R):
    self.stream.select(index_R)


def forgets_stream(self, index_R):
    self.x_RD = self.x_RD[index_R]


def counts_twice(self, drawing_E, u_E):
    chosen_E = drawing_E & (self.effective() < self.count / 2)
    own_N = torch.arange(self.count)
    index_EN = self._at((own_N + u_E.double()[:, None]) / self.count)
    index_EN = torch.where(chosen_E[:, None], index_EN, own_N)
    self._select((index_EN + torch.arange(len(u_E))[:, None] * self.count).flatten())
    self.log_weight_EN = self.log_weight_EN.gather(1, index_EN)


def picks_any(self, places_EM):
    return (places_EM * self.count).long()


def test_entries_that_weigh_much_are_completed_by_the_law() -> None:
    assert p_value(echo(), HEARD, ECHOED, particles=256) > 1e-3
    assert p_value(echo(), HEARD, ECHOED, method="ancestral") < 1e-12


@pytest.mark.parametrize(
    ("name", "bug"),
    [
        ("_select", forgets_drawn),
        ("_select", forgets_stream),
        ("_at", picks_any),
        ("resample", counts_twice),
    ],
)
def test_a_bug_in_resampling_is_noticed(monkeypatch, name, bug) -> None:
    model = echo()
    monkeypatch.setattr(Particles, name, bug)
    assert p_value(model, HEARD, ECHOED, particles=256) < 1e-9


@pytest.mark.parametrize("name", ["weigh_rest", "log_mean_weight"])
def test_a_forgotten_weight_biases_the_estimate(monkeypatch, name) -> None:
    nothing = {
        "weigh_rest": lambda self, index_M: None,
        "log_mean_weight": lambda self: torch.zeros_like(self.log_weight_EN[:, 0]),
    }
    monkeypatch.setattr(Particles, name, nothing[name])
    assert abs(z_score(estimates(table(), HOLES))) > 10


def test_particles_are_resampled_and_their_number_bounds_the_stream(monkeypatch) -> None:
    model, widths, selected = table(), [], []
    stream, select = Table.stream, Particles._select
    monkeypatch.setattr(Table, "stream", lambda m, n, y=None: widths.append(n) or stream(m, n, y))
    monkeypatch.setattr(
        Particles, "_select", lambda self, i: selected.append(len(i)) or select(self, i)
    )
    done = model.complete(X.expand(40, D), HOLES.expand(40, D), particles=16, generator=seeded())
    assert max(widths) == 64
    assert sum(widths) == 40 * 16
    assert len(selected) > 3
    assert 1 <= float(done.effective.min()) <= float(done.effective.max()) <= 16
    assert f"16 particles, {float(done.effective.min()):.1f} of them effective" in done.method


@pytest.mark.parametrize("known", [TAIL, HOLES], ids=["tail", "holes"])
def test_the_class_is_inferred_where_it_is_not_given(known: torch.Tensor) -> None:
    model = table(3)
    model.set_class_prior(torch.tensor([10, 30, 60]))
    assert p_value(model, X, known, particles=256) > 1e-3
    assert p_value(model, X, known, label=2, particles=256) > 1e-3
    assert p_value(model, X, known, method="ancestral") < 1e-6
    assert model.complete(X[None], known[None], generator=seeded()).exact == (known is TAIL)


@pytest.mark.parametrize("known", [TAIL, HOLES], ids=["tail", "holes"])
def test_temperature_completes_by_the_tempered_conditionals(known: torch.Tensor) -> None:
    model = table()
    x = model.sample(1, temperature=0.5, generator=seeded())[0]
    assert p_value(model, x, known, temperature=0.5, particles=256) > 1e-3
    assert p_value(model, x, known, temperature=2.0, particles=256) > 1e-3
    done = model.complete(X[None], known[None], temperature=0.5, generator=seeded())
    assert not done.exact
    assert done.method.endswith("at temperature 0.5")


@torch.no_grad()
def blindness(model, x, known) -> float:
    """Total variation between the blind draw and Bayes' rule, by enumeration."""
    every = all_examples(model.spec)
    entries = entry_log_probs(model, every.flatten(1), None, 1.0)
    agrees = ((every == x) | ~known).flatten(1).all(1)
    blind = entries.masked_fill(known.flatten(), 0).sum(1).exp() * agrees
    return float((blind - truth(model, x, known)[0][0]).abs().sum() / 2)


def test_the_law_holds_for_a_network_that_streams() -> None:
    spec = Spec(shape=(1, 2, 3), levels=3)
    model = settle(create("pixelcnn", spec, features=8, hidden=8, layers=1), spec, 0, size=1.4)
    known = torch.tensor([[[False, True, False], [True, False, True]]])

    def suits(x: torch.Tensor) -> float:
        return blindness(model, x, known) - float(truth(model, x, known)[1] < -6)

    x = max(all_examples(spec)[::31], key=suits)
    assert blindness(model, x, known) > 0.1
    assert p_value(model, x, known, n=1000, method="ancestral") < 1e-6
    assert p_value(model, x, known, n=1000, particles=256) > 1e-3


def mixed(n: int, spec: Spec) -> tuple[torch.Tensor, torch.Tensor]:
    """Examples, and masks of all kinds: all known, none, the first, the last, random."""
    x = torch.randint(spec.levels_or_raise, (n, *spec.shape), generator=seeded(5))
    known = torch.rand(n, *spec.shape, generator=seeded(6)) < 0.5
    flat = known.view(n, -1)
    flat[0], flat[1], flat[2], flat[3] = True, False, TAIL, ~TAIL
    return x, known


@pytest.mark.parametrize("method", ["auto", "smc", "ancestral"])
@pytest.mark.parametrize("classes", [None, 2])
def test_a_mixed_batch(method: str, classes: int | None) -> None:
    model = table(classes)
    x, known = mixed(9, model.spec)
    done = model.complete(x, known, generator=seeded(), method=method, particles=8)
    assert torch.equal(done.x[known], x[known])
    assert torch.equal(done.x[0], x[0])
    assert not done.exact
    entries = entry_log_probs(model, done.x, done.y, 1.0)
    torch.testing.assert_close(done.log_prob, entries.masked_fill(known, 0).sum(1))
    if method == "ancestral":
        assert done.log_known is None
        assert done.effective is None
    else:
        torch.testing.assert_close(done.log_known + done.log_conditional, model.log_prob(done.x))
    if method == "auto":
        exact = done.effective.isinf()
        assert exact[:4].tolist() == [True, True, True, False]
        torch.testing.assert_close(done.log_known[0], model.log_prob(x)[0])
        torch.testing.assert_close(done.log_known[1], torch.tensor(0.0, dtype=torch.float64))
        for row in exact.nonzero().flatten().tolist():
            truly = truth(model, x[row], known[row])[1]
            torch.testing.assert_close(done.log_known[row], truly, check_dtype=False)


def test_no_example_depends_on_its_company() -> None:
    model = table(2)
    x, known = mixed(9, model.spec)
    together = model.complete(x, known, generator=seeded(), particles=8)
    for row in range(9):
        generator = seeded()
        torch.randint(2**63 - 1, (row,), generator=generator)  # the keys of those before it
        alone = model.complete(x[row : row + 1], known[row : row + 1], generator=generator,
                               particles=8)  # fmt: skip
        assert torch.equal(alone.x[0], together.x[row])
        assert alone.effective[0] == together.effective[row]
        torch.testing.assert_close(alone.log_known[0], together.log_known[row])


def test_nothing_known_is_a_sample() -> None:
    model = table(3)
    nothing = torch.zeros(50, D, dtype=torch.bool)
    done = model.complete(nothing.long(), nothing, generator=seeded(4))
    assert done.exact
    assert torch.equal(done.x, model.sample(50, generator=seeded(4)))


def test_the_order_of_the_model_decides_what_comes_last() -> None:
    model = create("pixelcnn", Spec(shape=(3, 3, 2), levels=3), features=6, hidden=6, layers=1)
    known = torch.zeros(3, 3, 2, dtype=torch.bool)
    known.view(-1)[model.order()[:7]] = True  # two pixels, and red of the third
    x = torch.randint(3, (2, 3, 3, 2), generator=seeded())
    assert model.complete(x, known, generator=seeded()).exact
    known[1, 2, 1] = True  # green of the last
    assert not model.complete(x, known, generator=seeded(), particles=2).exact


def test_real_numbers_and_what_stands_in_missing_places() -> None:
    class Chain(Autoregressive):
        """A random walk."""

        name = "chain"

        def parameters_of(self, u, y):
            before = torch.nn.functional.pad(u[:, :-1], (1, 0))
            return torch.stack([before, torch.zeros_like(before)], -1)

    model = Chain(Spec(shape=(3,)))
    known = torch.tensor([True, False, True])
    x = torch.tensor([[0.0, math.nan, 2.0]]).expand(800, 3)
    done = model.complete(x, known, generator=seeded(), particles=128)
    assert done.x.isfinite().all()
    middle = done.x[:, 1]  # normal with mean 1 and variance 1/2, by Bayes' rule
    assert abs(float(middle.mean()) - 1) < 0.12
    assert abs(float(middle.var()) - 0.5) < 0.12
    density = torch.distributions.Normal(0.0, 2**0.5).log_prob(torch.tensor(2.0))
    first = torch.distributions.Normal(0.0, 1.0).log_prob(torch.tensor(0.0))
    assert abs(float(done.log_known.exp().mean() / (density + first).exp()) - 1) < 0.05


def test_a_model_of_many_orders_draws_what_is_known_first() -> None:
    class Either(Table):
        """Knows a second order: a table of its own."""

        def with_known_first(self, known):
            other = Backward(self.spec)
            return other if bool(known[-1]) and not bool(known[0]) else None

    class Backward(Table):
        def order(self):
            return torch.arange(D).flip(0)

        def parameters_of(self, u, y):
            return super().parameters_of(u.flip(1), y).flip(1)

    model = Either(Spec(shape=(D,), levels=2)).eval()
    x = X.expand(3, D)
    known = torch.stack([~TAIL, TAIL, ~TAIL])
    done = model.complete(x, known, generator=seeded())
    assert done.method == (
        "1 by ancestral; 2 by ancestral, in an order that begins with the known entries"
    )
    assert torch.equal(done.x[known], x[known])
    for figure, other in ((done.log_prob, model), (done.log_conditional, Backward(model.spec))):
        expected = entry_log_probs(other, done.x, None, 1.0).masked_fill(known, 0).sum(1)
        torch.testing.assert_close(figure[[0, 2]], expected[[0, 2]])


def test_none_at_all() -> None:
    done = table().complete(torch.zeros(0, D).long(), torch.zeros(0, D, dtype=torch.bool))
    assert (tuple(done.x.shape), done.exact) == ((0, D), True)


def test_an_impossible_past_does_not_end_in_nan() -> None:
    model = table()
    with torch.no_grad():
        model.logits_YDMP.mul_(1e4)
    done = model.complete(X[None], HOLES[None], generator=seeded())
    assert done.log_known.isfinite().all()
    assert done.effective.isfinite().all()


def test_all_that_is_wrong_is_told_at_once() -> None:
    model, known = table(), HOLES[None]
    with pytest.raises(ValueError, match="cannot complete") as caught:
        model.complete(X[None], known, temperature=math.nan, method="magic", particles=0)
    for words in ("temperature=nan", "method='magic' must be one of auto, smc, ancestral",
                  "particles=0 must be an integer from 1 to 65,536; 64 is usual"):  # fmt: skip
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (HOLES.long(), "boolean mask, True where an entry is known; got torch.int64"),
        (HOLES[:3], r"known has shape \(3,\), which does not fit examples of shape \(1, 5\)"),
        (HOLES.expand(1, 1, D), "does not fit"),
        (HOLES.expand(2, D), "does not fit"),
    ],
)
def test_a_mask_that_cannot_be_used(known: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        table().complete(X[None], known)


@pytest.mark.parametrize("name", ["made", "hmm", "gaussian-mixture", "vae", "draw", "rbm", "dbn"])
def test_labels_that_were_given_are_told(name):
    """And those that were drawn, but by a network that draws others in every sweep."""
    spec = Spec(shape=(1, 2, 2), levels=2, classes=3)
    model = settle(create(name, spec, **get(name).tiny), spec, seed=0)
    x, y, known = torch.zeros(2, 1, 2, 2).long(), torch.tensor([2, 0]), torch.eye(2).bool()
    known = known.expand_as(x)
    assert torch.equal(model.complete(x, known, y=y).y, y)
    drawn = model.complete(x, known).y
    assert (drawn is None) == (name == "dbn")
    assert drawn is None or (drawn.shape == (2,) and drawn.min() >= 0 and drawn.max() < 3)
