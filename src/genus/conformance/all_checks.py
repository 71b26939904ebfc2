"""The list of checks, complete: importing a subject's file enters its checks."""

from genus.conformance import (
    bounds,
    causality,
    classes,
    completion,
    conditions,
    decoders,
    energy,
    inputs,
    marginals,
    normalisation,
    persistence,
    sampling,
    training,
)
from genus.conformance.checks import CHECKS as CHECKS

SUBJECTS = (
    inputs,
    normalisation,
    causality,
    sampling,
    completion,
    marginals,
    bounds,
    decoders,
    energy,
    classes,
    conditions,
    training,
    persistence,
)
