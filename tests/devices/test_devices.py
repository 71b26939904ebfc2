"""Runs the cases of the pretended device in processes of their own, and all else on a real one."""

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from taped import tape
from torch.utils import backend_registration

import genus
from genus.errors import ConfigError
from genus.families.recorded import RecordedSampler, cuda_graph
from genus.spec import Spec

HERE = Path(__file__).parent
BLIND = {"GENUS_PRETENDED": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
needs_backends_in_python = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason=f"torch {torch.__version__} takes no device that is written in Python",
)
SPEC = Spec(shape=(1, 4, 5), levels=2, classes=3)


def run_cases(name, chosen=""):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "", name]
    result = subprocess.run(
        [*command, "-k", chosen],
        cwd=HERE,
        env={**os.environ, **BLIND},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]


@needs_backends_in_python
def test_the_pretended_device():
    run_cases("cases_device.py")


@needs_backends_in_python
def test_a_walk_is_recorded_on_it():
    run_cases("cases_recording.py", "image or captured")


@needs_backends_in_python
@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("cases_recording.py", "binary or vector"),
        ("cases_models.py", "image or real"),
        ("cases_models.py", "binary or vector"),
        ("cases_training.py", ""),
        ("cases_evaluation.py", ""),
        ("cases_commands.py", ""),
    ],
)
def test_every_model_on_it(name, chosen):
    run_cases(name, chosen)


@pytest.mark.parametrize("name", ["gated-pixelcnn", "nade"])
def test_a_recording_draws_what_the_model_draws(name):
    torch.manual_seed(0)
    model = genus.create(name, SPEC)
    sampler, generator = RecordedSampler(model, 4, recorder=tape), torch.Generator().manual_seed(3)
    twin = torch.Generator().manual_seed(3)
    kept = []
    for _ in range(3):
        kept.append((sampler.sample(generator=generator), model.sample(4, generator=twin)))
    for got, wanted in kept:  # a later batch has not overwritten them
        assert torch.equal(got, wanted)
    y = torch.tensor([2, 0, 1, 1])
    got = sampler.sample(y=y, generator=torch.Generator().manual_seed(5))
    assert torch.equal(got, model.sample(4, y=y, generator=torch.Generator().manual_seed(5)))


def test_a_recording_has_its_temperature():
    torch.manual_seed(0)
    model = genus.create("made", SPEC)
    sampler = RecordedSampler(model, 8, temperature=0.3, recorder=tape)
    seed = torch.Generator().manual_seed
    for number in range(2):
        wanted = model.sample(8, temperature=0.3, generator=seed(number))
        assert torch.equal(sampler.sample(generator=seed(number)), wanted)
    assert not torch.equal(wanted, model.sample(8, generator=seed(1)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((4,), r"on a GPU only, and the model is on cpu: call sample\(\)"),
        ((0,), "on a GPU only"),
    ],
)
def test_a_processor_records_nothing(arguments, words):
    with pytest.raises(ConfigError, match=words):
        genus.create("gated-pixelcnn", SPEC).recorded(*arguments)


def test_a_model_with_other_parameters_is_recorded_again():
    torch.manual_seed(0)
    model = genus.create("made", SPEC)
    sampler, turns = (
        RecordedSampler(model, 4, recorder=lambda run: turns.append(1) or tape(run)),
        [],
    )
    for _ in range(2):
        sampler.sample()
    assert len(turns) == 1
    for layer in (m for m in model.modules() if hasattr(m, "weight")):
        layer.weight = torch.nn.Parameter(2 * layer.weight.detach())
    seed = torch.Generator().manual_seed
    assert torch.equal(sampler.sample(generator=seed(1)), model.sample(4, generator=seed(1)))
    assert len(turns) == 2


def test_labels_that_come_or_go_are_recorded_again():
    torch.manual_seed(0)
    model = genus.create("gated-pixelcnn", SPEC)
    for layer in (m for m in model.modules() if isinstance(m, torch.nn.Embedding)):
        torch.nn.init.normal_(layer.weight, std=3)  # labels say much
    sampler, u = RecordedSampler(model, 4, recorder=tape), torch.rand(4, SPEC.dims)
    y, other = torch.tensor([0, 1, 2, 0]), torch.tensor([2, 2, 1, 1])
    wanted = [model.from_uniform(u.double(), labels) for labels in (None, y, other, None)]
    assert not torch.equal(wanted[1], wanted[2])
    for labels, x in zip((None, y, other, None), wanted, strict=True):
        assert torch.equal(sampler.from_uniform(u.double(), labels), x)


def test_what_cannot_be_recorded_says_why():
    model = genus.create("nade", Spec(shape=(3,)))
    with pytest.raises(ConfigError, match=r"mixture of Gaussians .* cannot be recorded"):
        RecordedSampler(model, 4, recorder=tape)
    with pytest.raises(ConfigError, match="n=0 must be at least 1"):
        RecordedSampler(genus.create("nade", SPEC), 0, recorder=tape)
    with pytest.raises(ConfigError, match=r"noise of \(1, 20\) does not fit batches of \(4, 20\)"):
        RecordedSampler(genus.create("nade", SPEC), 4, recorder=tape).from_uniform(
            torch.rand(1, 20)
        )
    with pytest.raises(ConfigError, match="temperature"):
        genus.create("nade", SPEC).recorded(4, temperature=0.0)


def test_a_graph_is_warmed_up_aside_and_then_captured(monkeypatch):
    """The order of things that CUDA asks for, seen by a stand-in for it."""
    cuda, seen = mock.MagicMock(), []
    for name in ("device", "Stream", "stream", "current_stream", "CUDAGraph", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(cuda, name))

    def run():
        aside = cuda.stream.return_value
        inside = cuda.graph.return_value
        contexts = {"aside": aside, "graph": inside}
        seen.append([n for n, c in contexts.items() if c.__enter__.called > c.__exit__.called])
        return torch.ones(1)

    result, play = cuda_graph(run, torch.device("cuda", 1))
    assert seen == [["aside"], ["graph"]]
    assert result.item() == 1
    cuda.device.assert_called_once_with(torch.device("cuda", 1))
    cuda.Stream.return_value.wait_stream.assert_called_once()
    cuda.current_stream.return_value.wait_stream.assert_called_once_with(cuda.Stream.return_value)
    cuda.graph.assert_called_once_with(cuda.CUDAGraph.return_value)
    play()
    cuda.CUDAGraph.return_value.replay.assert_called_once_with()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
@pytest.mark.parametrize("name", ["gated-pixelcnn", "pixelcnn++", "pixel-transformer", "row-lstm"])
def test_a_graph_draws_what_the_model_draws(name):
    torch.manual_seed(0)
    model = genus.create(name, SPEC).cuda()
    sampler, generator = model.recorded(4), torch.Generator().manual_seed(3)
    twin = torch.Generator().manual_seed(3)
    for _ in range(3):
        assert torch.equal(sampler.sample(generator=generator), model.sample(4, generator=twin))
