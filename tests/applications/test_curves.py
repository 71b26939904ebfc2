"""Curves of a training: what a journal holds, where it is drawn, and what is refused."""

from __future__ import annotations

import json
import math

import pytest

from genus.applications import plot_curves
from genus.applications.curves import BINS, binned, panels
from genus.cli import main
from genus.errors import CheckpointError, ConfigError


def line(kind, elapsed, **values):
    told = {key.replace("__", "/"): value for key, value in values.items()}
    return {"kind": kind, "step": int(10 * elapsed), "elapsed": elapsed, **told}


@pytest.fixture(scope="module")
def game(tmp_path_factory):
    """A few steps of two players."""
    folder = tmp_path_factory.mktemp("runs") / "game"
    words = ("--set", "channels=4", "latents=4", "--steps", "40", "--samples", "0")
    saved = ("--evaluate-every", "10", "--out", str(folder))
    assert main(["train", "dcgan", "--data", "digits", *words, *saved]) == 0
    return folder


def test_both_players_share_panels_and_scores_come_first(game):
    picture = plot_curves(game)
    titles = picture.facts["panels"]
    assert titles[0] == "valid: Frechet distance"
    assert {"loss", "norm of the gradient", "step size", "critic's score"} < set(titles)
    assert not any("/" in title for title in titles)
    drawn = [axis for axis in picture.figure.axes if axis.lines]
    assert [axis.get_title() for axis in drawn] == titles
    loss = drawn[titles.index("loss")]
    assert [each.get_label() for each in loss.lines] == ["critic loss", "generator loss"]
    told = [json.loads(each) for each in (game / "metrics.jsonl").read_text().splitlines()]
    train = [each for each in told if each["kind"] == "train"]
    assert list(loss.lines[0].get_ydata()) == [each["critic/loss"] for each in train]
    last = [each for each in told if each["kind"] == "valid"][-1]
    assert picture.facts["frechet_distance"] == last["frechet_distance"]


def test_moments_are_marked_and_what_is_lost_is_counted(game, tmp_path):
    folder = tmp_path / "marked"
    folder.mkdir()
    for name in ("config.json", "manifest.json"):
        (folder / name).write_bytes((game / name).read_bytes())
    lines = [
        line("train", 1.0, critic__loss=1.0),
        line("warning", 2.0, game="the critic has won"),
        line("train", 3.0, critic__loss="NaN"),
        line("rollback", 3.5, why="diverged", to=10, step_size=0.5),
        line("train", 4.0, critic__loss=2.0),
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    picture = plot_curves(folder)
    told = ("panels", "rollbacks", "warnings", "not_finite")
    assert [picture.facts[name] for name in told] == [["loss"], 1, 1, 1]
    axis = picture.figure.axes[0]
    assert [each.get_xdata()[0] for each in axis.lines[1:]] == [2.0, 3.5]
    assert math.isnan(axis.lines[0].get_ydata()[1])
    low, high = axis.get_ylim()
    assert low < 1 < 2 < high < 3


def test_a_quantity_that_nobody_foresaw_has_a_panel_of_its_own():
    lines = [line("train", t, energy__wake_up=t, energy__loss=-t) for t in (1.0, 2.0)]
    lines += [line("valid", t, nats_per_dim=t, k=3, rows=9) for t in (1.5, 2.0)]
    assert [each.title for each in panels(lines)] == ["valid: nats/dim", "wake up", "loss"]
    assert panels(lines[:1]) == []  # one point is no curve


def test_long_curves_are_means_and_ranges_of_equal_parts_of_the_time():
    points = [(t / 10, math.sin(t)) for t in range(10_000)]
    times, means, lows, highs = binned(points)
    assert len(times) == BINS
    assert sorted(times) == times
    assert all(a <= b <= c for a, b, c in zip(lows, means, highs, strict=True))
    assert min(lows) == min(y for _, y in points)
    assert max(highs) == max(y for _, y in points)
    lost = [(float(t), math.nan if t < 500 else 1.0) for t in range(1000)]
    assert math.isnan(binned(lost)[1][0])
    assert binned(lost)[1][-1] == 1.0
    now_and_then = [(float(t), math.nan if t % 2 else 1.0) for t in range(1000)]
    assert binned(now_and_then)[1:] == ([1.0] * BINS, [1.0] * BINS, [1.0] * BINS)
    at_once = [(5.0, float(value)) for value in range(1000)]
    assert binned(at_once) == ([5.0], [499.5], [0.0], [999.0])


def test_the_beginning_does_not_flatten_the_rest(game, tmp_path):
    folder = tmp_path / "long"
    folder.mkdir()
    for name in ("config.json", "manifest.json"):
        (folder / name).write_bytes((game / name).read_bytes())
    lines = [line("train", float(t), loss=1e6 if t < 10 else 1 + t / 1000) for t in range(1000)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert plot_curves(folder).figure.axes[0].get_ylim()[1] < 3


def test_what_has_no_curves_says_so(tmp_path):
    words = ("--steps", "9", "--samples", "0", "--out", str(tmp_path / "run"))
    assert main(["train", "independent", "--data", "digits", *words]) == 0
    with pytest.raises(ConfigError, match=r"has no curves: its journal holds \d lines"):
        plot_curves(tmp_path / "run")
    with pytest.raises(CheckpointError, match="is not a run"):
        plot_curves(tmp_path)
