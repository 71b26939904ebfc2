"""Run the checks that a model's capabilities call for, and gather what they find."""

from __future__ import annotations

import time
import warnings
from typing import Any

from genus.capabilities import Samples, supports
from genus.conformance import subject
from genus.conformance.all_checks import CHECKS
from genus.conformance.checks import Check, Context, NotRun, Outcome
from genus.conformance.loading import load_class
from genus.conformance.report import Finding, Report, Skipped
from genus.conformance.specs import default_specs, describe
from genus.errors import ConfigError, SpecError
from genus.spec import Spec


def verify(
    model: Any,
    *,
    specs: list[Spec] | tuple[Spec, ...] | None = None,
    seed: int = 0,
    quick: bool = False,
) -> Report:
    """Check that a model keeps what its capabilities promise.

    A class is built with its ``tiny`` options on many small Specs. An instance is checked on its
    own Spec as it is (a copy of it, in float64 on the CPU), and then its class is checked too, with
    the instance's choices of options.

    Args:
        model: an instance, a class, a registered name or ``"module:Class"``.
        specs: data to verify the class on; the kit's own if left out.
        seed: of everything random; same seed, same report.
        quick: fewer Specs and draws, in a fraction of the time.

    Returns:
        a report; ``report.passed`` is false if any check failed or none could run.

    Raises:
        ConfigError: the model is neither a class nor an instance that can sample, or the name is
            not known.

    Example:
        >>> report = verify("independent", quick=True)
        >>> report.passed, report.failures
        (True, [])
    """
    started = time.perf_counter()
    if isinstance(model, str):
        model = resolve(model)
    cls = model if isinstance(model, type) else type(model)
    if not supports(cls, Samples):
        raise ConfigError(f"{cls.__qualname__} is not a model: it has no method sample")
    run = _Run(cls, seed, quick)
    options = dict(getattr(cls, "tiny", {}))
    if not isinstance(model, type):
        run.instance(model)
        options = {**_choices_of(model), **options}
    usual = default_specs(quick=quick, condition=getattr(cls, "takes_condition", False))
    run.fresh(specs or usual, options, with_variants=specs is None)
    name = getattr(cls, "name", cls.__qualname__)
    name = cls.__qualname__ if name == "unregistered" else name
    return run.report(name, time.perf_counter() - started)


def resolve(name: str) -> type:
    """Return the class of a registered name or of ``"module:Class"``."""
    if ":" in name:
        return load_class(name)
    from genus import registry

    return registry.get(name)


def _choices_of(model: Any) -> dict[str, Any]:
    """Return the options of an instance that are a choice of a few values."""
    config = getattr(model, "config", None)
    return {name: getattr(config, name) for name in subject.choices(type(model))}


class _Refused(Exception):
    """The class does not take the Spec or the options."""


class _Run:
    """One verification in progress."""

    def __init__(self, cls: type[Any], seed: int, quick: bool) -> None:
        self.cls, self.seed, self.quick = cls, seed, quick
        self.findings: list[Finding] = []
        self.skipped: list[Skipped] = []
        self.not_run: dict[str, str] = {}

    def instance(self, model: Any) -> None:
        """Check an instance as it is."""
        context = Context(model.spec, self.seed, self.quick)
        self.checks(subject.in_float64(model), context, f"{describe(model.spec)}, as given")

    def fresh(
        self, specs: tuple[Spec, ...] | list[Spec], options: dict[str, Any], with_variants: bool
    ) -> None:
        """Check new models of the class, and its variants on two of the Specs that it takes."""
        accepted = [spec for spec in specs if self.one(spec, options, describe(spec))]
        if not (with_variants and not self.quick and accepted):
            return
        for varied in subject.variants(self.cls, options):
            names = ", ".join(f"{k}={v}" for k, v in varied.items() if options.get(k) != v)
            taken = 0
            for spec in _for_variants(accepted):
                label = f"{describe(spec)}, {names}"
                taken += self.one(spec, varied, label, quick=True, quiet=True)
                if taken == 2:
                    break
            if not taken:
                self.skipped.append(Skipped(names, "refused on every Spec that was tried"))

    def one(
        self,
        spec: Spec,
        options: dict[str, Any],
        label: str,
        *,
        quick: bool = False,
        quiet: bool = False,
    ) -> bool:
        """Check one new model, with fewer draws if quick; return False if its class refuses."""

        def make(size: float = 0.5, **changes: Any) -> Any:
            try:
                model = subject.build(self.cls, spec, {**options, **changes}, self.seed)
            except (SpecError, ConfigError) as error:
                raise _Refused(str(error)) from error
            return subject.settle(model, spec, self.seed, size)

        def variant(**changes: Any) -> Any:
            return make(0.2, **changes) if has_options(self.cls, changes) else None

        try:
            model = make()
        except _Refused as error:
            if not quiet:
                self.skipped.append(Skipped(label, str(error)))
            return False
        except Exception as error:  # any fault of the model is a finding, not our crash
            self.fail("model.builds", label, "a model of this class cannot be made", error)
            return True
        self.checks(model, Context(spec, self.seed, self.quick or quick, variant), label)
        return True

    def checks(self, model: Any, context: Context, label: str) -> None:
        """Run every check that applies."""
        for check in CHECKS.values():
            if not check.applies(model) or (check.slow and self.quick):
                continue
            if not check.where(context.spec):
                self.not_run.setdefault(check.name, "no Spec on which it makes sense was accepted")
                continue
            self.findings += self.outcomes(check, model, context, label)

    def outcomes(self, check: Check, model: Any, context: Context, label: str) -> list[Finding]:
        """Return the findings of one check on a copy of the model."""
        try:
            with subject.global_seed(self.seed), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = check.run(subject.in_float64(model), context)
                found = [result] if isinstance(result, Outcome) else list(result)
        except NotRun as reason:
            self.not_run.setdefault(check.name, str(reason))
            return []
        except Exception as error:  # any fault of the model is a finding, not our crash
            return [_failure(check.name, label, check.meaning, error)]
        return [
            Finding(check.name, label, o.passed, o.figure, o.limit, check.meaning, o.detail)
            for o in found
        ]

    def fail(self, name: str, label: str, meaning: str, error: Exception) -> None:
        """Add a failure that an error stands for."""
        self.findings.append(_failure(name, label, meaning, error))

    def report(self, name: str, seconds: float) -> Report:
        """Return what was found, with the checks that never ran."""
        ran = {finding.check for finding in self.findings}
        never = [Skipped(k, why) for k, why in self.not_run.items() if k not in ran]
        return Report(name, tuple(self.findings), (*self.skipped, *never), seconds)


def has_options(cls: type[Any], changes: dict[str, Any]) -> bool:
    """Say whether the class's Config has all these fields."""
    known = getattr(getattr(cls, "Config", None), "__dataclass_fields__", {})
    return all(name in known for name in changes)


def _failure(name: str, label: str, meaning: str, error: Exception) -> Finding:
    detail = f"raised {type(error).__name__}: {error}"
    return Finding(name, label, False, float("nan"), 0.0, meaning, detail)


def _for_variants(specs: list[Spec]) -> list[Spec]:
    """Return the first Spec of each kind that matters to options, the most telling first."""
    kinds: dict[tuple[bool, bool, bool], Spec] = {}
    for spec in specs:
        kinds.setdefault((spec.levels == 2, spec.dims > 12, not spec.is_discrete), spec)
    return [kinds[kind] for kind in sorted(kinds)]
