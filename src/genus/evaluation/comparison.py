"""`compare`: models trained at the same cost and judged on the same held-out data."""

from __future__ import annotations

import dataclasses
import functools
import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from genus.errors import GenusError, SpecError
from genus.evaluation.cache import write_atomic
from genus.evaluation.curves import training_curves
from genus.evaluation.doubts import troubles
from genus.evaluation.drawing import affordable, default_count, sampling_cost
from genus.evaluation.environment import environment
from genus.evaluation.features import FeatureNet
from genus.evaluation.inception import nets_for
from genus.evaluation.learned import with_pictures
from genus.evaluation.outcome import COPIES, REAL, Comparison, FeatureNote, Row, Settings
from genus.evaluation.plan import check_plan, claim_folder, dumps, planned
from genus.evaluation.provenance import describe
from genus.evaluation.samples import Reference
from genus.evaluation.scoring import Cost, Evaluation, evaluate
from genus.evaluation.storage import for_pictures, load_evaluation, save_evaluation
from genus.likelihood import LogLikelihood

if TYPE_CHECKING:
    from genus.data import DataSet
    from genus.training import TrainConfig

T = TypeVar("T")
CONDITIONAL = "All models go by classes: likelihoods are of p(x), with the class summed out."
"""What a reader of a conditional comparison must know."""


def compare(
    models: Sequence[str] | None,
    data: DataSet,
    *,
    out: Path | str,
    time_budget: float = 60.0,
    seed: int = 0,
    seeds: int = 1,
    split: str = "test",
    samples: int | None = None,
    k: int = 64,
    sample_budget: float = 60.0,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    training: TrainConfig | None = None,
    resume: bool = False,
    inception: bool = False,
    conditional: bool = False,
    progress: Callable[[str], None] | None = None,
    command: str = "",
) -> Comparison:
    """Train each model for the same time, evaluate all on the same data, and write a report.

    A model that cannot take the data, or whose training fails, becomes a row with the reason, and
    the others go on. Two rows are no models: real data, which show what perfect looks like, and
    copies of the training data, which show what cheating looks like.

    Where entries of the data are missing, the models that need all of them are left out so, the
    likelihoods are of the known entries, and samples are not judged.

    Args:
        models: registered names, or None for all there are.
        data: what to compare on.
        out: folder of the runs, one for each model, and of ``report.html``, ``compare.json`` and
            ``compare.csv``.
        time_budget: seconds of training for each model; one that is fitted in closed form may
            need less.
        seed: of weights, training, samples and bounds.
        seeds: how often each model is trained, by this and the next seeds; figures are then means,
            and their errors have in them how much runs differ.
        split: the held-out split.
        samples: how many each model draws; by default as many as are held out, at most 2,000, and
            fewer, the same number for all, where the slowest model would exceed
            ``sample_budget``. The result says so.
        k: samples per example of a likelihood bound.
        sample_budget: seconds that drawing may take one model, by default.
        options: configuration of a model by its name.
        training: other options of training; its budget and seed give way to those here.
        resume: go on with a comparison that was interrupted; finished rows are kept.
        inception: whether to add Inception features, where the user has installed torch-fidelity;
            see `genus.evaluation.inception`. A comparison may be resumed with them: its runs are
            kept and judged again.
        conditional: whether all models learn to go by classes. Likelihoods are of p(x) all the
            same, with the class summed out; models that know no classes are rows with that reason,
            and what the labels of samples are worth is measured too.
        progress: told what is being done.
        command: what was typed, for the report.

    Raises:
        ConfigError: an unknown model or option, a setting out of range, a folder that holds
            another comparison, classes that the data lack, or torch-fidelity is missing.
        DataError: there is no such split, or the Inception weights cannot be had.
        SpecError: the data are not images that Inception features are made for.

    Example:
        >>> import genus, tempfile
        >>> data = genus.load_data("wine")
        >>> with tempfile.TemporaryDirectory() as out:
        ...     result = compare(["independent"], data, out=out, time_budget=1)
        >>> [row.label for row in result.rows]
        ['independent', 'real data', 'train copies']
    """
    settings = Settings(time_budget, seed, split, samples, k, sample_budget, seeds, conditional)
    runner = _Runner(data, Path(out), settings, training, resume, progress or _silent)
    runner.prepare(models, options or {})
    if inception:
        runner.take_inception()
    for run in list(runner.models):
        runner.train(run)
    reference = runner.reference()
    for run in list(runner.models):
        runner.evaluate(run, reference)
    result = runner.result(reference, command)
    result.write()
    return result


def _silent(message: str) -> None:
    """Say nothing."""


class _Runner:
    """The steps of a comparison, and what they have found so far."""

    def __init__(
        self,
        data: DataSet,
        out: Path,
        settings: Settings,
        training: TrainConfig | None,
        resume: bool,
        say: Callable[[str], None],
    ) -> None:
        self.data, self.out, self.settings = data, out, settings
        self.training, self.resume, self.say = training, resume, say
        self.labels: list[str] = []
        self.runs: dict[str, tuple[str, int]] = {}  # label and seed, by the name of the folder
        self.models: dict[str, Any] = {}  # by run, as all that follows; those that have not failed
        self.reasons: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.found: dict[str, Evaluation] = {}
        self.notes: list[str] = []
        self.nets: list[FeatureNet] | None = None  # made with the reference when left out

    def prepare(
        self, models: Sequence[str] | None, options: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Build every model and look at everything that may be wrong before any time is spent."""
        from genus import registry

        known = registry.list_models()
        self.labels = list(dict.fromkeys(models if models is not None else known))
        check_plan(self.labels, self.settings, self.data, options)
        for label in self.labels:
            for number in range(self.settings.seeds):
                run = f"{label}.seed-{self.settings.seed + number}" if number else label
                self.runs[run] = label, self.settings.seed + number
        for run, (label, seed) in self.runs.items():
            try:
                self.models[run] = self._build(label, seed, options.get(label, {}))
            except SpecError as error:
                self.reasons[run] = str(error)
        plan = planned(self.settings, self.data, options, self.training)
        claim_folder(self.out, list(self.runs), plan, resume=self.resume)
        if self.settings.conditional:
            self.notes.append(CONDITIONAL)

    def take_inception(self) -> None:
        """Make the feature networks with the Inception network among them, before any training."""
        if self.data.missing is None:
            self.nets = nets_for(self.data, inception=True, progress=self.say)

    def _build(self, label: str, seed: int, options: Mapping[str, Any]) -> Any:
        """Return a fresh model, with what suits the data where nothing was said."""
        from genus import registry

        registry.check_missing(registry.get(label), self.data.missing, fit=True)
        spec = self.data.spec if self.settings.conditional else self.data.spec.unconditional()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            chosen = registry.suited(label, spec, len(self.data.train), options)
            return registry.create(label, spec, **chosen)

    def train(self, run: str) -> None:
        """Train one model in a run folder of its own, or take what is there from before."""

        def work() -> None:
            from genus.training import train

            self.say(f"training {run} for {self.settings.time_budget:g} s")
            folder, config = self.out / run, self._train_config(self.runs[run][1])
            again = self.resume and (folder / "config.json").is_file()
            done = train(self.models[run], self.data, folder, config, resume=again)
            self.seconds[run] = done.seconds["training"]
            self.notes += [f"{run}: {note}" for note in troubles(done.rollbacks, done.ended)]

        self._attempt(run, work)

    def reference(self) -> Reference | None:
        """Return what samples are compared with; nothing where no one knows the data whole."""
        if (missing := self.data.missing) is not None:
            self.notes.append(f"{missing}; likelihoods are of what is known.")
            self.notes.append("Samples are not judged: there is nothing whole to judge them by.")
            return None
        n = self.choose_count()
        self.say("preparing the reference")
        settings = self.settings
        found = Reference(
            self.data,
            split=settings.split,
            n=n,
            seed=settings.seed,
            nets=self.nets,
            progress=self.say,
        )
        self.notes += found.notes
        return found

    def choose_count(self) -> int:
        """Return how many samples each model draws, and note it where time allows only fewer."""
        usual = default_count(self.data, self.settings.split)
        if self.settings.samples is not None:
            return self.settings.samples
        kept, wanted = self.out / "count.json", [usual, self.settings.sample_budget]
        if self.resume and kept.is_file():  # timing anew might give another number
            stored = json.loads(kept.read_text())
            if stored["wanted"] == wanted:
                self.notes += stored["notes"]
                return int(stored["n"])
        before = len(self.notes)  # The others are found again when the comparison goes on.
        n = self._affordable_count(usual)
        content = {"wanted": wanted, "n": n, "notes": self.notes[before:]}
        write_atomic(kept, dumps(content).encode())
        return n

    def _affordable_count(self, usual: int) -> int:
        self.say("timing the samplers")
        costs: dict[str, float] = {}  # by label: seeds draw alike
        for run in list(self.models):
            label, _ = self.runs[run]
            if label in costs:
                continue
            cost = self._attempt(run, functools.partial(self._sampling_cost, run))
            if cost is not None:
                costs[label] = cost
        budget = self.settings.sample_budget
        share = budget / 2 if self.settings.conditional else budget  # Labels take as many again.
        n = affordable(usual, max(costs.values(), default=0.0), share)
        if n < usual:
            slowest = max(costs, key=lambda name: costs[name])
            self.notes.append(
                f"Every model drew {n} samples instead of {usual}: {slowest} needs about "
                f"{costs[slowest]:.2g} s for each, and the sample budget is {budget:g} s."
            )
        return n

    def _sampling_cost(self, run: str) -> float:
        return sampling_cost(self._load(run))

    def evaluate(self, run: str, reference: Reference | None) -> None:
        """Evaluate one trained model, or take what was found before."""

        def work() -> None:
            folder = self.out / run / "evaluation"
            settings = self._identity(reference)
            found = load_evaluation(folder, settings) if self.resume else None
            if found is None:
                model, own = self._load(run), self.settings
                found = evaluate(
                    model,
                    self.data,
                    split=own.split,
                    samples=0 if reference is None else None,
                    k=own.k,
                    seed=own.seed,
                    training_seconds=self.seconds[run],
                    reference=reference,
                    progress=self.say,
                )
                if self.runs[run][1] == own.seed:  # the page shows the first
                    found = with_pictures(found, model, self.data, split=own.split, seed=own.seed)
                save_evaluation(folder, found, settings)
            self.found[run] = found

        self._attempt(run, work)

    def result(self, reference: Reference | None, command: str) -> Comparison:
        """Return the table."""
        rows = [self._row(label) for label in self.labels]
        if reference is not None:
            self.say("measuring real data and train copies")
            rows.append(self._control(REAL, reference, reference.real))
            rows.append(self._control(COPIES, reference, reference.train_copies()))
        nets = [] if reference is None else reference.nets
        features = (FeatureNote(n.name, n.description, n.fingerprint) for n in nets)
        return Comparison(
            describe(self.data, self.settings.split),
            self.data.description,
            self.data.spec,
            self.settings,
            tuple(rows),
            0 if reference is None else reference.n,
            tuple(features),
            "" if reference is None else reference.real_source,
            tuple(self.notes),
            environment(),
            command,
            self.out,
            None if reference is None else reference.examples,
        )

    def _row(self, label: str) -> Row:
        """Return the row of a model, from those of its runs that did not fail."""
        runs = [run for run, (name, _) in self.runs.items() if name == label]
        found = {run: self.found[run] for run in runs if run in self.found}
        failed = {run: self.reasons[run] for run in runs if run in self.reasons}
        if not found:
            return Row(label, "model", None, next(iter(failed.values()), None))
        self.notes += [f"{run} failed: {reason}" for run, reason in failed.items()]
        curves, *others = [training_curves(self.out / run) for run in found]
        seeds = tuple(self.runs[run][1] for run in found)
        repeats = tuple(found.values())
        return Row(label, "model", repeats[0], None, curves, repeats, seeds, tuple(others))

    def _train_config(self, seed: int) -> TrainConfig:
        from genus.training import TrainConfig

        given = {"time_budget": self.settings.time_budget, "seed": seed}
        if self.training is None:
            return TrainConfig(**given)  # type: ignore[arg-type]
        return dataclasses.replace(self.training, **given)  # type: ignore[arg-type]

    def _load(self, run: str) -> Any:
        """Return a trained model on the device that it was trained on."""
        from genus.training import load

        return load(self.out / run, "auto" if self.training is None else self.training.device)

    def _attempt(self, label: str, work: Callable[[], T]) -> T | None:
        """Do some work for a model; if it fails, the model leaves the comparison with the reason.

        What is not the input's fault is caught too, so that one faulty plugin does not cost hours
        of others; its traceback is kept and named.
        """
        try:
            return work()
        except GenusError as error:
            reason = str(error)
        except Exception as error:
            path = self.out / f"{label}.error.txt"
            write_atomic(path, traceback.format_exc().encode())
            reason = f"{type(error).__name__}: {error} (traceback in {path})"
        self.reasons[label] = reason
        self.models.pop(label, None)
        self.say(f"{label} is left out: {reason}")
        return None

    def _identity(self, reference: Reference | None) -> dict[str, Any]:
        """Return what an evaluation depends on besides the run."""
        nets = [] if reference is None else reference.nets
        return {
            "digest": self.data.digest,
            "split": self.settings.split,
            "n": 0 if reference is None else reference.n,
            "k": self.settings.k,
            "seed": self.settings.seed,
            "features": [net.fingerprint for net in nets],
            "fingerprint": None if reference is None else reference.fingerprint,
        }

    def _control(self, label: str, reference: Reference, x: Tensor) -> Row:
        evaluation = Evaluation(
            label,
            "control",
            describe(self.data, self.settings.split),
            LogLikelihood.not_available(),
            None,
            reference.measure(x),
            Cost(None),
            self.settings.seed,
            drawn=for_pictures(x),
        )
        return Row(label, "control", evaluation)
