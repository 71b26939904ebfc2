"""`evaluate`: all that is to be said of one trained model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from genus.capabilities import Samples, supports
from genus.data.degraded import degradation_of
from genus.errors import ConfigError, SpecError
from genus.evaluation.block import SampleBlock
from genus.evaluation.class_scores import LabelScores
from genus.evaluation.drawing import chosen_count, draw, goes_by_images
from genus.evaluation.inception import check_has, nets_for
from genus.evaluation.labels import LabelReference
from genus.evaluation.likelihood import bits_per_dim, score
from genus.evaluation.pairs import PairBlock, pair_block
from genus.evaluation.provenance import DataReference, describe, known_entries
from genus.evaluation.reconstruction import restored_examples
from genus.evaluation.samples import Reference
from genus.likelihood import LogLikelihood
from genus.registry import check_missing

if TYPE_CHECKING:
    from genus.data import DataSet

FORMAT = 1
"""Number of the JSON layout of an evaluation."""
OWN_CONDITIONS = (
    "samples are made from the conditions of the very examples that they are compared with, so "
    "they may come nearer to these than other real data do"
)
"""What a reader must know of the samples of a model that goes by images."""


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Args:
        parameters: numbers that training changes; None of a row that is no model.
        training_seconds: wall-clock time of training, None where it is not known.
        seconds_per_sample: wall-clock time, drawn in batches of 250.
    """

    parameters: int | None
    training_seconds: float | None = None
    seconds_per_sample: float | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One model on one held-out split: likelihood, samples, cost.

    Args:
        model: its registered name, or what the row is called.
        family: its family.
        data: what it was evaluated on.
        likelihood: nats per example and their kind.
        bits_per_dim: of the mean; None for continuous data and where there is no likelihood. Where
            entries are missing it is per known entry.
        samples: the sample block, or None when it was not asked for.
        cost: parameters and times.
        seed: of samples, bounds and the choice of rows.
        notes: what a reader must know, such as a reduced number of samples.
        drawn: the first samples ``(n, *shape)``, for pictures; not in the JSON.
        restored: some examples and the means of their reconstructions ``(2, n, *shape)``, of a
            model of images with latents; not in the JSON.
        pairs: how near samples come to what their conditions were made from; None of a model that
            goes by no images.
        learned: PNGs of what the model has learned, by their kind; not in the JSON.
        known: where entries are missing, how many are known of each example; not in the JSON.
    """

    model: str
    family: str
    data: DataReference
    likelihood: LogLikelihood
    bits_per_dim: float | None
    samples: SampleBlock | None
    cost: Cost
    seed: int = 0
    notes: tuple[str, ...] = ()
    drawn: Tensor | None = None
    restored: Tensor | None = None
    pairs: PairBlock | None = None
    learned: Mapping[str, bytes] = field(default_factory=dict)
    known: npt.NDArray[np.int64] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation as a dictionary of plain values; what is not to be had is None."""
        likelihood = self.likelihood
        content = {
            "format": FORMAT,
            "model": self.model,
            "family": self.family,
            "data": vars(self.data),
            "likelihood": {
                "kind": likelihood.kind,
                "k": likelihood.samples,
                "nats": likelihood.mean,
                "standard_error": likelihood.standard_error,
                "interval": likelihood.interval,
                "bits_per_dim": self.bits_per_dim,
                "bits_per_dim_standard_error": self.bits_per_dim_error,
                "bits_per_dim_interval": self.bits_per_dim_interval,
                "examples": int(likelihood.nats.size),
            },
            "samples": None if self.samples is None else self.samples.to_json(),
            **({} if self.pairs is None else {"pairs": self.pairs.to_json()}),
            "cost": vars(self.cost),
            "seed": self.seed,
            "notes": list(self.notes),
        }
        data: dict[str, Any] = plain(content)
        return data

    @classmethod
    def from_json(
        cls,
        content: dict[str, Any],
        nats: npt.NDArray[np.float64],
        drawn: Tensor | None,
        restored: Tensor | None = None,
        known: npt.NDArray[np.int64] | None = None,
    ) -> Evaluation:
        """Build an evaluation from `to_json`'s dictionary and the arrays that it leaves out."""
        likelihood, block = content["likelihood"], content["samples"]
        pairs = content.get("pairs")
        return cls(
            content["model"],
            content["family"],
            DataReference(**content["data"]),
            LogLikelihood(nats, likelihood["kind"], likelihood["k"], _pair(likelihood)),
            likelihood["bits_per_dim"],
            None if block is None else SampleBlock.from_json(block),
            Cost(**content["cost"]),
            content["seed"],
            tuple(content["notes"]),
            drawn,
            restored,
            None if pairs is None else PairBlock.from_json(pairs),
            known=known,
        )

    @property
    def bits_per_dim_error(self) -> float | None:
        r"""Standard error of `bits_per_dim`.

        .. math:: \frac{1}{\bar k \sqrt n} \operatorname{std}_i (b_i - \rho k_i)

        for bits :math:`b_i` of :math:`k_i` known entries and their ratio :math:`\rho` (the delta
        method); where all are known, that of the bits over the number of entries.
        """
        if self.bits_per_dim is None:
            return None
        likelihood = self.likelihood
        if self.known is not None:
            surplus = likelihood.nats + self.bits_per_dim * math.log(2) * self.known
            likelihood = replace(likelihood, nats=surplus)
        return likelihood.standard_error / (self.data.entries * math.log(2))

    @property
    def bits_per_dim_interval(self) -> tuple[float, float] | None:
        """Interval of `bits_per_dim`, where the likelihood has one."""
        if self.bits_per_dim is None or self.likelihood.interval is None:
            return None
        low, high = self.likelihood.interval
        unit = self.data.entries * math.log(2)
        return -high / unit, -low / unit


def _pair(likelihood: dict[str, Any]) -> tuple[float, float] | None:
    """Return the interval of a stored likelihood; records from before there were any have none."""
    stored = likelihood.get("interval")
    return None if stored is None else (stored[0], stored[1])


def evaluate(
    model: Any,
    data: DataSet,
    *,
    split: str = "test",
    samples: int | None = None,
    k: int = 64,
    seed: int = 0,
    batch_size: int | None = None,
    sample_budget: float = 60.0,
    training_seconds: float | None = None,
    reference: Reference | None = None,
    inception: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Evaluate a trained model on held-out data.

    Args:
        model: any model for such data.
        data: the data set; its train split makes the feature networks.
        split: the held-out split. Choose between models on "valid"; read "test" once.
        samples: how many to draw; 0 leaves the sample block out. By default as many as are held
            out, at most 2,000, or what fits ``sample_budget``. Where entries are missing there is
            no sample block: samples would be compared with examples that nobody has seen whole.
        k: samples per example of a bound.
        seed: of all randomness.
        batch_size: examples scored at once; changes memory, not results.
        sample_budget: seconds that drawing may take by default.
        training_seconds: passed on to the result.
        reference: shared by the models of a comparison; it fixes the number of samples and the
            feature networks.
        inception: whether to add Inception features, where the user has installed torch-fidelity;
            see `genus.evaluation.inception`.
        progress: told what takes long.

    Raises:
        SpecError: the model is for other data, or cannot score examples with missing entries; or
            Inception features are asked for, and the data are not images that they are made for.
        ConfigError: an argument out of range, or torch-fidelity is missing.
        DataError: the Inception weights cannot be had.
        TrainingError: the model returns NaN.

    Example:
        >>> import genus
        >>> data = genus.load_data("digits")
        >>> model = genus.create("independent", data.spec.unconditional())
        >>> evaluate(model, data, samples=0).likelihood.kind
        'exact'
    """
    check_match(model, data, missing=True)
    missing = data.missing
    check_missing(model, missing, fit=False)
    say = progress or (lambda message: None)
    judged = missing is None and samples != 0 and supports(model, Samples)
    nets = None
    if inception and samples == 0:
        raise ConfigError("inception=True judges samples, but samples=0 leaves none; give another")
    if reference is not None:
        check_has(reference.nets, inception)
    elif judged and inception:  # what is missing is better known at once
        nets = nets_for(data, inception=True, progress=progress)
    say(f"scoring {_name(model)} on {split}")
    likelihood = score(model, data.split(split), k, batch_size=batch_size, seed=seed)
    block, drawn, each, pairs, notes = None, None, None, None, []
    conditional = getattr(model.spec, "classes", None) is not None
    if missing is not None and samples != 0:
        notes.append(f"{missing}; likelihoods are of what is known, and samples are not judged")
    elif judged:
        if reference is None:
            # A class-conditional model draws twice: as it likes, and with labels that are given.
            budget = sample_budget / 2 if conditional else sample_budget
            n, note = chosen_count(model, data, split, samples, budget)
            notes += [note] if note else []
            reference = Reference(data, split=split, n=n, seed=seed, nets=nets, progress=progress)
            notes += reference.notes
        say(f"drawing {reference.n} samples from {_name(model)}")
        y = reference.images if goes_by_images(model) else None
        drawn, each = draw(model, reference.n, y=y, seed=seed)
        block = reference.measure(drawn)
        notes += block.notes
        if y is not None:
            pairs = _pairs(drawn, reference)
            notes.append(OWN_CONDITIONS)
        if conditional and reference.labels is not None:
            say(f"drawing samples of given labels from {_name(model)}")
            block = replace(block, labels=_label_scores(model, reference.labels, seed))
    elif inception:
        notes.append(f"{_name(model)} does not sample, so there are no Inception features")
    bits, described = None, describe(data, split)
    if data.spec.is_discrete and likelihood.nats.size:
        bits = bits_per_dim(likelihood.mean, data.spec, described.known)
    return Evaluation(
        _name(model),
        getattr(model, "family", "unknown"),
        described,
        likelihood,
        bits,
        block,
        Cost(count_parameters(model), training_seconds, each),
        seed,
        tuple(notes),
        drawn,
        restored_examples(model, data.split(split), seed=seed)
        if data.spec.is_image and missing is None
        else None,
        pairs,
        known=known_entries(data.split(split)),
    )


def _label_scores(model: Any, reference: LabelReference, seed: int) -> LabelScores:
    """Return what labels are worth, with the labels of as many training examples."""
    y = reference.train.y
    assert y is not None
    return reference.measure(draw(model, len(y), y=y, seed=seed + 1)[0], y)


def _pairs(drawn: Tensor, reference: Reference) -> PairBlock:
    """Return how near the first sample of each condition comes to its original."""
    split = reference.data.split(reference.split)
    own = drawn[: reference.size]
    return pair_block(own, reference.pairs, reference.data.spec, degradation_of(split))


def check_match(model: Any, data: DataSet, *, missing: bool = False) -> None:
    """Raise `SpecError` unless the model is for examples of this shape and these levels.

    Args:
        model: any model.
        data: any data.
        missing: whether entries may be missing.
    """
    if not missing and (absent := data.missing) is not None:
        raise SpecError(
            f"{data.name}: {absent}; this takes examples of which every entry is known, so fill in "
            "or drop those rows"
        )
    ours, theirs = model.spec.unconditional(), data.spec.unconditional()
    if ours != theirs:
        raise SpecError(
            f"the model is for shape={ours.shape} levels={ours.levels}, but {data.name} has "
            f"shape={theirs.shape} levels={theirs.levels}; evaluate it on the data it was made for"
        )
    wanted = getattr(model.spec, "condition", None)
    if wanted is not None and wanted != data.spec.condition:
        raise SpecError(
            f"the model is given images of shape {wanted}, but {data.name} comes with "
            f"{data.spec.condition or 'none'}; load the data as it was trained (given=, --given)"
        )


def count_parameters(model: Any) -> int:
    """Return how many numbers training changes, or 0 of a model that is not a module.

    Closed-form models keep what they fit in buffers, so these count where there are no parameters.
    """
    if not isinstance(model, nn.Module):
        return 0
    trained = sum(p.numel() for p in model.parameters())
    buffers = (b for b in model.buffers() if b.is_floating_point())
    return trained or sum(b.numel() for b in buffers)


def plain(value: Any) -> Any:
    """Return a value as JSON holds it: no NaN or infinity, which JSON lacks, but None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _name(model: Any) -> str:
    return getattr(model, "name", type(model).__name__)
