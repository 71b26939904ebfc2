"""The audit: planted failures get their verdict and no other, real data get none."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pytest
import torch
from scipy.stats import chi2_contingency
from sklearn.cluster import KMeans

from genus.data import load_data
from genus.evaluation.audit import Audit, Auditor
from genus.evaluation.bins import Bins
from genus.evaluation.block import SampleBlock
from genus.evaluation.kinds import lacking
from genus.evaluation.samples import Reference
from genus.evaluation.sharpness import contrast, grain, relative
from genus.spec import Spec

PLANTED = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "audit.py"))
SEEDS = 3


@pytest.fixture(scope="module")
def worlds():
    """Divisions of the digits: 299 samples, 900 training examples."""
    digits = load_data("digits")
    return [PLANTED["divide"](digits, 2000, seed) for seed in range(SEEDS)]


@pytest.mark.parametrize(
    ("plant", "verdict"),
    [
        ("real", "none seen"),
        ("copies 30 %", "copies"),
        ("copies 100 %", "copies"),
        ("blur 0.05", "blurred"),
        ("blur 0.1", "blurred"),
        ("noise 0.1", "noise"),
        ("noise 0.2", "noise"),
        ("class 0 missing", "fewer kinds"),
        ("class 1 missing", "fewer kinds"),
        ("repeats", "fewer kinds"),
    ],
)
def test_a_planted_failure_gets_its_verdict_and_no_other(worlds, plant, verdict):
    for world in worlds:
        audit = world.auditor(PLANTED["PLANTS"][plant](world))
        assert audit.verdict == (verdict,), audit


def test_blurred_copies_are_both(worlds):
    for world in worlds:
        audit = world.auditor(PLANTED["PLANTS"]["blurred copies"](world))
        assert audit.verdict == ("copies", "blurred")


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_copies_is_within_its_error(worlds, share):
    found = [world.auditor(PLANTED["copies"](world, share)) for world in worlds]
    for audit in found:
        assert abs(audit.copied - share) < 3 * audit.copied_error
    mean = sum(audit.copied for audit in found) / SEEDS
    assert mean == pytest.approx(share, abs=0.1)
    assert all(audit.copied_error < 0.2 for audit in found)


def test_samples_that_are_the_held_out_examples_are_found_out(worlds):
    for world in worlds:
        held_out = world.auditor.held_out
        audit = world.auditor(held_out)
        assert audit.verdict == ("held-out copies",), audit
        mixed = torch.cat([held_out[:90], PLANTED["PLANTS"]["real"](world)[90:]])
        assert audit.verdict == world.auditor(mixed).verdict


def test_an_honest_model_of_a_band_of_a_photograph_is_no_copier():
    patches = load_data("patches")
    train = patches.train.batch(torch.arange(0, 4500, 10)).x
    fresh = patches.train.batch(torch.arange(5, 4500, 10)).x
    held_out = patches.test.batch(torch.arange(450)).x
    real = patches.valid.batch(torch.arange(250)).x
    auditor = Auditor(patches.spec, train, held_out, real, train_size=4500)
    assert auditor.usual.share > 0.8
    honest = auditor(fresh)
    assert "copies" not in honest.verdict
    assert honest.unseen > 0.5  # few copies show where splits differ so much
    assert "copies" in auditor(train).verdict


def test_fewer_copies_than_the_audit_promises_to_see_go_unseen(worlds):
    world = worlds[0]
    unseen = world.auditor(world.fresh).unseen
    assert 0.05 < unseen < 0.3
    assert world.auditor(PLANTED["copies"](world, 3 * unseen)).verdict == ("copies",)
    assert world.auditor(PLANTED["copies"](world, unseen / 4)).verdict == ("none seen",)


def test_words_name_the_missing_class(worlds):
    audit = worlds[0].auditor(PLANTED["without"](worlds[0], 7))
    words = [finding.words for finding in audit.seen]
    assert len(words) == 1
    assert words[0].endswith("of the data are lacking: 7")
    assert audit.summary.startswith("fewer kinds (")


@pytest.mark.parametrize(("name", "seeds"), [("digits", 30), ("wine", 30)])
def test_real_data_pass(name, seeds):
    data = load_data(name)
    alarms = 0
    for seed in range(seeds):
        world = PLANTED["divide"](data, 2000, seed)
        alarms += world.auditor(world.fresh).verdict != ("none seen",)
    assert alarms <= 1  # of 30, where one in some hundreds is expected


def test_an_auditor_whose_references_are_the_same_sees_no_copies(worlds):
    world = worlds[0]
    train = world.auditor.train
    blind = Auditor(world.data.spec, train, train, world.fresh, train_size=len(world.train))
    assert "copies" not in blind(train).verdict


def mixture(n, seed, scale=1.0, modes=6, dims=8):
    """Points around some centres, as many around each."""
    centres = 6 * torch.randn(modes, dims, generator=torch.Generator().manual_seed(99))
    noise = torch.randn(n, dims, generator=torch.Generator().manual_seed(seed))
    return centres[torch.arange(n) % modes] + scale * noise


@pytest.fixture(scope="module")
def vectors():
    train = mixture(1800, 0)
    return Auditor(Spec(shape=(8,)), train[:600], mixture(600, 1), mixture(600, 2), train_size=1800)


@pytest.mark.parametrize(
    ("scale", "verdict"), [(0.7, "blurred"), (1.0, "none seen"), (1.3, "noise")]
)
def test_vectors_shrink_and_spread(vectors, scale, verdict):
    for seed in range(10, 10 + SEEDS):
        assert vectors(mixture(600, seed, scale)).verdict == (verdict,)


def test_the_distance_to_train_alone_would_call_shrinking_copies(vectors):
    """Why held-out data take part: with the distances of other samples the test is wrong."""
    shrunken, real = mixture(600, 11, 0.7), mixture(600, 11)
    assert vectors(shrunken).verdict == ("blurred",)
    found = vectors.neighbours(shrunken)
    wrong = dataclasses.replace(found, to_held_out=vectors.neighbours(real).to_held_out)
    assert "copies" in vectors(shrunken, wrong).verdict


def test_vectors_copied_and_lacking_a_mode(vectors):
    rows = torch.randperm(1800, generator=torch.Generator().manual_seed(0))[:600]
    assert vectors(mixture(1800, 0)[rows]).verdict == ("copies",)
    lacking_one = mixture(900, 5)[torch.arange(900) % 6 != 2]
    assert vectors(lacking_one).verdict == ("fewer kinds",)


def test_binary_images(worlds):
    """Two levels: copies, flipped pixels, and pixels that take their neighbours' value."""
    digits = load_data("digits")
    splits = {name: type(part)((part.x > 7).long(), part.y) for name, part in digits.splits.items()}
    binary = dataclasses.replace(
        digits, spec=dataclasses.replace(digits.spec, levels=2), splits=splits
    )
    world = PLANTED["divide"](binary, 2000, 0)
    assert world.auditor(world.fresh).verdict == ("none seen",)
    assert world.auditor(PLANTED["copies"](world, 1.0)).verdict == ("copies",)
    assert world.auditor(PLANTED["blurred"](world, 0.25)).verdict == ("blurred",)
    flips = torch.rand(world.fresh.shape, generator=torch.Generator().manual_seed(0)) < 0.05
    assert world.auditor(world.fresh ^ flips.long()).verdict == ("noise",)


def test_constant_images_are_judged_without_a_division_by_zero():
    spec = Spec(shape=(1, 4, 4), levels=2)
    black = torch.zeros(40, 1, 4, 4, dtype=torch.int64)
    audit = Auditor(spec, black, black, black, train_size=40)(black)
    assert audit.verdict == ("none seen",)
    assert all(abs(f.z) < float("inf") for f in audit.findings)


def test_a_model_that_draws_one_image_is_said_to_lack_kinds(worlds):
    world = worlds[0]
    audit = world.auditor(world.fresh[:1].repeat(len(world.fresh), 1, 1, 1))
    assert audit.verdict == ("fewer kinds",)
    assert "repeated" in audit.summary


def test_the_most_suspicious_samples_come_first(worlds):
    world = worlds[0]
    x = PLANTED["copies"](world, 0.1)
    found = world.auditor.neighbours(x)
    shown, train, held_out = world.auditor.closest(x, found, 5)
    assert torch.equal(shown, train)
    assert not (shown == held_out).flatten(1).all(1).any()
    known = {tuple(row.flatten().tolist()) for row in world.auditor.train}
    assert all(tuple(row.flatten().tolist()) in known for row in train)


def test_an_audit_survives_its_json(worlds):
    audit = worlds[0].auditor(worlds[0].fresh)
    assert Audit.from_json(audit.to_json()) == audit


@pytest.mark.parametrize(("n", "m"), [(300, 300), (200, 1000)])
def test_two_proportions_agree_with_scipy(n, m):
    g = torch.Generator().manual_seed(0)
    real = torch.randint(4, (m,), generator=g)
    samples = torch.randint(4, (n,), generator=g)
    samples[samples == 3] = 0
    found = lacking(samples, [real], 4)
    table = [[0, n], [int((real == 3).sum()), int((real != 3).sum())]]
    assert found.groups == (3,)
    assert found.z == pytest.approx(chi2_contingency(table, correction=False).statistic ** 0.5)
    assert found.missing == pytest.approx(float((real == 3).double().mean()))


def test_a_group_that_only_one_reference_has_is_not_laid_on_the_model():
    train, held_out = torch.arange(600) % 3, torch.arange(600) % 2
    samples = torch.arange(600) % 2
    assert lacking(samples, [train], 3).groups == (2,)
    for references in ([train, held_out], [held_out, train]):
        found = lacking(samples, references, 3)
        assert found.groups == ()
        assert found.z < found.threshold


def test_a_group_must_have_less_than_half_of_its_share_in_every_reference():
    def draws(share):
        return (torch.arange(6000) >= share * 6000).long()

    half, third, samples = draws(0.5), draws(0.3), draws(0.2)
    assert lacking(samples, [half], 2).groups == (0,)
    for references in ([half, third], [third, half]):
        found = lacking(samples, references, 2)
        assert found.z > found.threshold
        assert found.groups == ()


def test_cells_are_as_tight_as_scikit_learns():
    points = mixture(600, 0).double()
    bins = Bins.of(points, 6, passes=20)
    inertia = float((points - bins.centres[bins.rows(points)]).square().sum())
    assert inertia < 1.05 * KMeans(6, n_init=5, random_state=0).fit(points.numpy()).inertia_
    assert len(Bins.of(torch.zeros(9, 2).double(), 4).centres) == 1


def test_contrast_and_grain_of_what_is_known():
    step = torch.zeros(1, 1, 4, 4)
    step[..., 2:] = 1
    assert contrast(step).item() == pytest.approx(4 / 24)
    assert grain(step).item() == 0
    noise = torch.randn(1, 1, 500, 500, generator=torch.Generator().manual_seed(0))
    assert contrast(noise).item() == pytest.approx(2, rel=0.02)
    assert grain(noise).item() == pytest.approx(2 * (2 / torch.pi) ** 0.5, rel=0.02)


def test_a_missing_kind_is_no_blur():
    """Kinds of different contrast: the mean of all moves, the mean within kinds does not."""
    group = torch.arange(2000) % 2
    values = group + 0.1 * torch.randn(2000, generator=torch.Generator().manual_seed(0)).double()
    kept = torch.cat([torch.arange(0, 2000, 2), torch.arange(1, 2000, 20)])
    samples = (values[kept], group[kept])
    within = relative(samples, (values, group), 2, len(kept))
    assert abs(within.z) < 3
    pooled = relative((values[kept], 0 * group[kept]), (values, 0 * group), 1, len(kept))
    assert pooled.z < -5


def test_the_error_of_a_relative_mean_is_its_spread():
    g = torch.Generator().manual_seed(0)
    found = []
    for _ in range(300):
        s, r = (5 + torch.randn(400, generator=g, dtype=torch.float64) for _ in range(2))
        group = torch.randint(4, (2, 400), generator=g)
        found.append(relative((s, group[0]), (r, group[1]), 4, 400))
    spread = torch.tensor([f.value for f in found]).std()
    assert float(spread) == pytest.approx(found[0].standard_error, rel=0.15)


@pytest.fixture
def reference(cache_folder, quick):
    return Reference(load_data("digits"))


def test_the_controls_of_a_comparison_get_the_right_verdict(reference):
    assert reference.measure(reference.real).audit.verdict == ("none seen",)
    copies = reference.measure(reference.train_copies())
    assert copies.audit.verdict == ("copies",)
    assert copies.audit.copied > 0.7
    assert copies.closest.shape == (3, 16, 1, 8, 8)
    assert torch.equal(copies.closest[0], copies.closest[1])


def test_real_examples_of_a_floor_are_not_called_copies(toys, cache_folder, quick):
    """Where they are too few, some come from the training rows; those are not compared with."""
    reference = Reference(toys.make_bars(sizes=(300, 40, 100)), n=200)
    assert reference.real_source == "40 valid + 60 train + 100 train"
    train = reference.auditor.train.flatten(1)
    assert not (reference.real.flatten(1)[:, None] == train).all(2).any()
    assert reference.measure(reference.real).audit.verdict == ("none seen",)


def test_a_record_from_before_the_audit_is_read(reference):
    block = reference.measure(reference.real)
    old = block.to_json()
    del old["audit"]
    assert SampleBlock.from_json(old) == dataclasses.replace(block, audit=None)


def test_measuring_again_gives_the_same_audit(reference):
    x = reference.train_copies()
    assert reference.measure(x).audit == reference.measure(x).audit
