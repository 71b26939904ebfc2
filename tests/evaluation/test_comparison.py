"""`compare` end to end on toys: rows, failures, resumption, files."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import xml.dom.minidom
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from rich.console import Console
from torch import nn

from genus import registry
from genus.capabilities import Objective
from genus.errors import ConfigError, DataError
from genus.evaluation import compare, comparison, render
from genus.evaluation.audit_words import audit_lines
from genus.evaluation.curves import training_curves
from genus.evaluation.latex import latex
from genus.evaluation.outcome import Comparison
from genus.evaluation.report import report
from genus.evaluation.table import columns
from genus.families.base import Model
from genus.random import ExampleNoise, categorical_icdf
from genus.training import TrainConfig

FAST = TrainConfig(steps=30, warmup=0, learning_rate=0.1, samples=0, log_every=5)


class Toy(Model):
    """One logit vector for all entries, trained by gradient."""

    name, family = "toy", "toy"

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.logits = nn.Parameter(torch.zeros(spec.levels))

    def log_prob(self, x, y=None):
        return self.logits.log_softmax(0)[x].flatten(1).sum(1)

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        u = ExampleNoise(n, generator).uniform(*self.spec.shape)
        return categorical_icdf(self.logits.detach().expand(*u.shape, -1), u)

    def objectives(self):
        def loss(batch, noise):
            return {"loss": -self.log_prob(batch.x).mean()}

        return (Objective("model", tuple(self.parameters()), loss),)


class Diverges(Toy):
    name = "diverges"

    def objectives(self):
        def loss(batch, noise):
            return {"loss": self.logits.sum() * math.nan}

        return (Objective("model", tuple(self.parameters()), loss),)


class Picky(Toy):
    name = "picky"

    @classmethod
    def check_spec(cls, spec):
        cls.require(False, "<b>sound</b> & light", spec)


class Buggy(Toy):
    name = "buggy"

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        raise RuntimeError("a plugin's own fault")


@pytest.fixture
def models(monkeypatch):
    registry.list_models()  # discovery must not happen under the patch
    for cls in (Toy, Diverges, Picky, Buggy):
        monkeypatch.setitem(registry._models, cls.name, cls)


@pytest.fixture
def data(toys, cache_folder, quick):
    return toys.make_bars(sizes=(200, 40, 60))


@pytest.fixture
def result(models, data, tmp_path) -> Comparison:
    names = ["toy", "diverges", "picky", "buggy"]
    said = []
    out = tmp_path / "out"
    found = compare(
        names, data, out=out, time_budget=20, training=FAST, progress=said.append, command="a <b>"
    )
    assert any("diverges is left out" in line for line in said)
    return found


def test_failures_become_rows_with_reasons_and_the_others_go_on(result):
    rows = {row.label: row for row in result.rows}
    assert list(rows) == ["toy", "diverges", "picky", "buggy", "real data", "train copies"]
    assert rows["toy"].evaluation.likelihood.kind == "exact"
    assert rows["toy"].evaluation.bits_per_dim < math.log2(5) - 0.3
    assert rows["toy"].evaluation.cost.parameters == 5
    assert rows["toy"].evaluation.cost.training_seconds > 0
    assert "the loss of 'model' is nan" in rows["diverges"].reason
    assert "needs <b>sound</b> & light" in rows["picky"].reason
    assert rows["buggy"].reason.startswith("RuntimeError: a plugin's own fault (traceback in ")
    assert "a plugin's own fault" in (result.out / "buggy.error.txt").read_text()
    for label in ("diverges", "picky", "buggy"):
        assert rows[label].evaluation is None


def test_controls_show_perfect_and_cheating(result):
    real, copies = result.rows[-2].evaluation, result.rows[-1].evaluation
    assert real.likelihood.kind == copies.likelihood.kind == "n/a"
    block = real.samples.scores["trained"]
    assert block.frechet.value == block.frechet.floor
    assert copies.samples.nearer_to_train.share > real.samples.nearer_to_train.share
    assert result.rows[0].evaluation.samples.scores["trained"].frechet.value > block.frechet.floor


def test_the_files_agree_with_each_other(result):
    content = json.loads((result.out / "compare.json").read_text())
    assert content == json.loads(json.dumps(result.to_json()))
    table = list(csv.DictReader((result.out / "compare.csv").read_text().splitlines()))
    assert [line["label"] for line in table] == [row["label"] for row in content["rows"]]
    likelihood = content["rows"][0]["evaluation"]["likelihood"]
    assert float(table[0]["likelihood.bits_per_dim"]) == likelihood["bits_per_dim"]
    frechet = content["rows"][0]["evaluation"]["samples"]["features"]["trained"]["frechet"]
    assert float(table[0]["trained.frechet.value"]) == frechet["value"]
    assert float(table[0]["trained.frechet.floor"]) == frechet["floor"]
    samples = content["rows"][0]["evaluation"]["samples"]
    assert (
        float(table[0]["trained.kernel.value"]) == samples["features"]["trained"]["kernel"]["value"]
    )
    assert float(table[0]["bins.different.floor"]) == samples["bins"]["different"]["floor"]
    assert float(table[0]["classes.p_value"]) == samples["classes"]["p_value"]
    assert table[1]["likelihood.nats"] == ""
    assert table[1]["reason"]


def test_with_classes_the_labels_of_samples_are_judged_too(models, data, tmp_path):
    asked = {"out": tmp_path / "out", "time_budget": 5, "training": FAST, "conditional": True}
    found = compare(["naive-bayes", "autoencoder", "vae"], data, **asked)
    bayes, restorer, vae, real, copies = found.rows
    assert "needs data without classes" in restorer.reason
    scores = bayes.evaluation.samples.labels
    assert scores.accuracy.value > 0.8  # it knows the classes, and a VAE of 30 steps does not
    assert vae.evaluation.samples.labels.accuracy.value < scores.accuracy.value
    shown = {column.title: column for column in columns(found)}
    assert shown["label"].better == shown["CAS"].better == "more"
    assert shown["CAS"].text(bayes).startswith(f"{scores.classification.value:.2f}"[:3])
    assert [shown["CAS"].text(row) for row in (real, copies)] == ["–", "–"]
    text = io.StringIO()
    render(found, Console(file=text, width=80))
    assert "Samples of given classes" in text.getvalue()
    assert "with the class summed out" in text.getvalue()
    stored = json.loads((found.out / "compare.json").read_text())
    assert stored["settings"]["conditional"] is True
    assert [row["ranks"].get("label") for row in stored["rows"][:3]] == [1, None, 2]
    again = compare(["naive-bayes", "autoencoder", "vae"], data, resume=True, **asked)
    assert again.rows[0].evaluation.samples == bayes.evaluation.samples
    assert again.notes == found.notes  # none of them twice
    with pytest.raises(ConfigError, match="cannot be resumed"):
        compare(["vae"], data, resume=True, **{**asked, "conditional": False})


def test_classes_that_are_not_there_cannot_be_gone_by(models, toys, tmp_path):
    with pytest.raises(ConfigError, match=r"conditional=True .* takes a class for every example"):
        compare(["toy"], toys.make_bars(labels=False), out=tmp_path / "out", conditional=True)
    assert not (tmp_path / "out").exists()


def test_ranks_are_the_same_in_every_file(result):
    rows = json.loads((result.out / "compare.json").read_text())["rows"]
    table = list(csv.DictReader((result.out / "compare.csv").read_text().splitlines()))
    ranked = {row["label"]: row["ranks"] for row in rows}
    assert ranked["real data"] == {}
    best = [label for label, found in ranked.items() if found.get("bits/dim") == 1]
    assert best
    for line in table:
        rank = ranked[line["label"]].get("bits/dim", "")
        assert line["rank.bits/dim"] == str(rank)
    page = (result.out / "report.html").read_text()
    assert page.count('<sup title="rank 1">') >= len(best)
    tex = (result.out / "compare.tex").read_text()
    for label in best:
        line = next(text for text in tex.splitlines() if text.startswith(label))
        assert r"\textbf{" in line
        assert line.endswith(r"\\")
    columns = tex.split(r"\begin{tabular}{")[1].index("}")
    body = [text for text in tex.splitlines() if text.endswith(r"\\")]
    assert {text.count(" & ") + 1 for text in body} == {columns}


def test_a_reason_of_several_lines_stays_a_comment_of_latex(result):
    row = replace(result.rows[2], reason="first\nsecond & 50%")
    lines = latex(replace(result, rows=(*result.rows[:2], row, *result.rows[3:]))).splitlines()
    assert "% second & 50%" in lines
    assert lines.index("% second & 50%") < next(
        i for i, x in enumerate(lines) if x[:6] == r"\begin"
    )


def test_several_seeds_give_means_whose_errors_know_how_runs_differ(models, data, tmp_path):
    options = {"time_budget": 60, "sample_budget": 100, "training": FAST}
    one = compare(["toy"], data, out=tmp_path / "one", **options)
    three = compare(["toy", "diverges"], data, out=tmp_path / "three", seeds=3, **options)
    row, failed = three.rows[:2]
    assert failed.evaluation is None
    assert len(row.repeats) == 3
    assert row.evaluation is row.repeats[0]
    assert {p.name for p in (tmp_path / "three").glob("toy*")} == {
        "toy", "toy.seed-1", "toy.seed-2",
    }  # fmt: skip
    first = one.rows[0].evaluation.bits_per_dim
    assert row.evaluation.bits_per_dim == first
    figures = [found.bits_per_dim for found in row.repeats]
    column = next(c for c in columns(three) if c.title == "bits/dim")
    mean, error = column.measured(row)
    assert mean == pytest.approx(sum(figures) / 3)
    own = [found.bits_per_dim_error for found in row.repeats]
    between = sum((figure - mean) ** 2 for figure in figures) / 2 / 3
    assert error == pytest.approx(math.sqrt(between + (sum(own) / 3) ** 2))
    assert f"{mean:.3f}" in column.text(row)
    stored = json.loads((three.out / "compare.json").read_text())["rows"][0]
    assert [r["likelihood"]["bits_per_dim"] for r in stored["repeats"]] == figures[1:]
    line = next(csv.DictReader((three.out / "compare.csv").read_text().splitlines()))
    assert line["seeds"] == "3"
    assert float(line["value.bits/dim"]) == pytest.approx(mean)
    assert stored["seeds"] == [0, 1, 2]
    page = three.report.read_text()
    assert "3 times by different seeds" in page
    for name in ("toy, seed 0", "toy, seed 1", "toy, seed 2"):
        assert f'alt="Samples: {name}"' in page
        assert f'alt="Closest to train: {name}"' in page
    for run, curves in zip(("toy.seed-1", "toy.seed-2"), stored["repeated_curves"], strict=True):
        of_run = training_curves(three.out / run)["valid"]
        assert curves["valid"] == [list(point) for point in of_run]
    assert page.count('<polyline class="s0 thin"') == 2
    assert "<polyline class=" in one.report.read_text()
    assert "thin lines" in page
    assert "thin lines" not in one.report.read_text()


def test_the_sampler_is_timed_once_for_all_seeds(models, data, tmp_path, monkeypatch):
    timed = []
    monkeypatch.setattr(comparison, "sampling_cost", lambda model: timed.append(model.name) or 1e-6)
    compare(["toy", "independent"], data, out=tmp_path, time_budget=60, seeds=2, training=FAST)
    assert timed == ["toy", "independent"]


def test_the_curve_of_a_model_without_a_likelihood_is_its_distance(tmp_path):
    lines = [
        {"kind": "valid", "elapsed": 1.0, "frechet_distance": 9.0},
        {"kind": "train", "elapsed": 1.5, "critic/loss": 0.5},
        {"kind": "valid", "elapsed": 2.0, "frechet_distance": 4.0},
    ]
    text = "\n".join(json.dumps({"step": 1, **line}) for line in lines)
    (tmp_path / "metrics.jsonl").write_text(text + "\n")
    assert training_curves(tmp_path) == {
        "distance": [(1.0, 9.0), (2.0, 4.0)],
        "critic/loss": [(1.5, 0.5)],
    }


def test_more_seeds_can_be_added_later(models, data, tmp_path, monkeypatch):
    options = {"time_budget": 60, "sample_budget": 100, "training": FAST}
    first = compare(["toy"], data, out=tmp_path, **options)
    before = (tmp_path / "toy" / "model.safetensors").stat().st_mtime_ns
    again = compare(["toy"], data, out=tmp_path, seeds=2, resume=True, **options)
    assert (tmp_path / "toy" / "model.safetensors").stat().st_mtime_ns == before
    assert len(again.rows[0].repeats) == 2
    assert again.rows[0].evaluation.bits_per_dim == first.rows[0].evaluation.bits_per_dim


def test_a_game_that_was_given_up_is_told(models, data, tmp_path):
    wild = replace(FAST, learning_rate=1e6)
    found = compare(["gan"], data, out=tmp_path, time_budget=60, training=wild)
    told = [note for note in found.notes if note.startswith("gan: training was given up after 3")]
    assert len(told) == 1
    assert told[0] in html.unescape(found.report.read_text())
    assert told[0] in (found.out / "compare.json").read_text()


def test_the_json_keeps_its_shape(result):
    content = result.to_json()
    assert sorted(content) == [
        "command",
        "data",
        "environment",
        "features",
        "finished",
        "format",
        "notes",
        "real_source",
        "rows",
        "samples",
        "settings",
    ]
    assert sorted(content["rows"][0]) == [
        "curves",
        "evaluation",
        "kind",
        "label",
        "ranks",
        "reason",
        "repeated_curves",
        "repeats",
        "seeds",
    ]
    assert content["rows"][0]["curves"]["valid"][-1][1] < math.log(5)


class Page(HTMLParser):
    """Collects the tags that are open and the addresses that are named."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.tags, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "srcset", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_report_is_well_formed_and_needs_nothing_else(result):
    html = result.report.read_text()
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    # It is XML too, which a browser's forgiveness would not tell.
    body = html.removeprefix("<!DOCTYPE html>\n")
    xml.dom.minidom.parseString(body)
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in html
    assert "@import" not in html
    assert not {"script", "link", "iframe"} & set(page.tags)
    text = " ".join(page.text)
    for word in ("toy", "real data", "train copies", result.data.digest, "a <b>", "FD[trained]"):
        assert word in text
    for column in ("KID[trained]", "SW[trained]", "bins", "JS", "classes"):
        assert page.text.count(column) == 2  # a head of the table, and how to read it
    assert f"fingerprint {result.rows[0].evaluation.samples.fingerprint}" in text
    assert "<b>sound</b>" not in html
    assert "&lt;b&gt;sound&lt;/b&gt; &amp; light" in html
    assert "svg" in page.tags
    assert "image-rendering: pixelated" in html
    assert "prefers-color-scheme: dark" in html


def test_the_audit_stands_in_every_file_and_judges_the_controls(result):
    import io

    from rich.console import Console

    verdicts = {row.label: row.evaluation.samples.audit for row in result.rows if row.evaluation}
    assert verdicts["real data"].verdict == ("none seen",)
    assert verdicts["train copies"].verdict == ("copies",)
    assert "noise" in verdicts["toy"].verdict
    file = io.StringIO()
    render(result, Console(file=file, width=80))
    assert "audit of real data: none seen" in file.getvalue()
    assert f"audit of train copies: {verdicts['train copies'].summary}" in file.getvalue()
    html = result.report.read_text()
    assert "<h2>Audit</h2>" in html
    for label in verdicts:
        assert f"Closest to train: {label}" in html
    rows = {row["label"]: row for row in csv.DictReader(io.StringIO(result.to_csv()))}
    assert rows["real data"]["audit"] == "none seen"
    assert rows["train copies"]["audit"] == verdicts["train copies"].summary
    stored = json.loads((result.out / "compare.json").read_text())["rows"][-1]["evaluation"]
    assert stored["samples"]["audit"]["verdict"] == ["copies"]


def test_a_failure_of_one_training_run_is_not_hidden_by_the_first(result):
    real, copies = (row.evaluation for row in result.rows[-2:])
    row = replace(result.rows[0], evaluation=real, repeats=(real, copies, real), seeds=(0, 1, 2))
    mixed = replace(result, rows=(row, *result.rows[1:]))
    extent = copies.samples.audit.seen[0].extent
    told = f"copies ({extent}; 1 of 3 runs)"
    assert f"audit of toy: {told}" in audit_lines(mixed)
    column = next(c for c in columns(mixed) if c.title == "audit")
    assert column.text(row) == "copies (1 of 3)"
    assert column.text(result.rows[-1]) == "copies"
    page = report(mixed)
    assert f"toy: {told}" in page
    for seed in range(3):
        assert page.count(f"<p>toy, seed {seed}</p>") == 1
    line = next(csv.DictReader(mixed.to_csv().splitlines()))
    assert line["audit"] == told
    share = next(c for c in columns(mixed) if c.title == "near train").measured(row)[0]
    one, two = (found.samples.nearer_to_train.share for found in (real, copies))
    assert share == pytest.approx((2 * one + two) / 3)


def test_pictures_hold_the_very_pixels(toys, result):
    import base64
    import io

    import numpy as np
    from PIL import Image

    html = result.report.read_text()
    first = html.split("data:image/png;base64,")[1].split('"')[0]
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(first))))
    real = result.rows[-2].evaluation.drawn[0, 0].numpy()
    np.testing.assert_array_equal(image[:8, :8, 0], np.round(real / 4 * 255))
    assert (image[:, 8, 3] == 0).all()


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_fits_the_terminal_and_leaves_nothing_out(result, width):
    import io

    from rich.console import Console

    file = io.StringIO()
    render(result, Console(file=file, width=width))
    text = file.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert "[trained]" in text
    assert "KID" not in text  # there is no room for it here; the page has it
    for word in ("bits/dim", "exact", "real data", "train copies", "near", "diverges: "):
        assert word in text


def test_a_second_comparison_needs_another_folder_or_resume(result, data):
    with pytest.raises(ConfigError, match=r"already holds runs of toy.*--resume.*--out"):
        compare(["toy"], data, out=result.out, time_budget=20, training=FAST)
    with pytest.raises(ConfigError, match="with other data, budget, seed or options"):
        compare(["toy"], data, out=result.out, time_budget=21, training=FAST, resume=True)


def test_resuming_keeps_what_is_finished(models, data, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = compare(["toy"], data, out=out, time_budget=20, training=FAST)
    monkeypatch.setattr(Toy, "sample", None)  # drawing again would fail
    again = compare(["toy"], data, out=out, time_budget=20, training=FAST, resume=True)
    before, after = first.rows[0].evaluation, again.rows[0].evaluation
    assert after.to_json() == before.to_json()
    assert after.drawn.equal(before.drawn[:64])
    assert after.samples.closest.equal(before.samples.closest)


def test_an_interrupted_comparison_goes_on(models, data, tmp_path, monkeypatch):
    out = tmp_path / "out"

    class Stops(Toy):
        name = "stops"

        def objectives(self):
            raise KeyboardInterrupt

    monkeypatch.setitem(registry._models, "stops", Stops)
    with pytest.raises(KeyboardInterrupt):
        compare(["toy", "stops"], data, out=out, time_budget=20, training=FAST)
    assert (out / "toy" / "model.safetensors").is_file()
    kept = (out / "toy" / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(Stops, "objectives", Toy.objectives)
    result = compare(["toy", "stops"], data, out=out, time_budget=20, training=FAST, resume=True)
    assert [row.reason for row in result.rows] == [None] * 4
    assert (out / "toy" / "model.safetensors").stat().st_mtime_ns == kept


def test_too_slow_a_sampler_reduces_the_count_for_all_and_says_so(
    models, data, tmp_path, monkeypatch
):
    from genus.evaluation import comparison

    monkeypatch.setattr(comparison, "sampling_cost", lambda model: 2.0)
    result = compare(
        ["toy"], data, out=tmp_path / "o", time_budget=20, training=FAST, sample_budget=110
    )
    assert result.samples == 55
    assert all(row.evaluation.samples.n == 55 for row in result.rows)
    assert result.notes[0] == (
        "Every model drew 55 samples instead of 60: toy needs about 2 s for each, and the sample "
        "budget is 110 s."
    )
    assert "Every model drew 55 samples" in result.report.read_text()


def test_all_that_is_wrong_is_said_before_any_time_is_spent(models, data, tmp_path):
    with pytest.raises(ConfigError) as caught:
        compare(["toyy", "toy"], data, out=tmp_path, time_budget=-1, samples=3, options={"vea": {}})
    message = str(caught.value)
    for part in ("'toyy'; did you mean toy?", "time_budget=-1", "samples=3", "'vea'"):
        assert part in message
    with pytest.raises(ConfigError, match="no option"):
        compare(["toy"], data, out=tmp_path, options={"toy": {"depth": 2}})
    assert not list(tmp_path.iterdir())


def test_too_small_a_test_split(models, toys, tmp_path):
    data = toys.make_bars(sizes=(20, 5, 4))
    with pytest.raises(DataError, match="4 examples in 'test'; a comparison needs at least 6"):
        compare(["toy"], data, out=tmp_path)


def test_vectors_are_shown_as_clouds_and_measured_in_nats(toys, cache_folder, tmp_path):
    data = toys.make_points()
    result = compare(["independent", "pixelcnn", "fvsbn"], data, out=tmp_path / "o", time_budget=5)
    html = result.report.read_text()
    assert 'class="cloud"' in html
    assert "bits/dim" not in html
    row = result.rows[0]
    assert row.evaluation.bits_per_dim is None
    assert row.evaluation.likelihood.kind == "exact"
    for row in result.rows[1:3]:
        assert f"{row.label} needs" in row.reason
