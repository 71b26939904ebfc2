"""The conformance kit: does a model keep what its capabilities promise?

Example:
    >>> from genus.conformance import verify
    >>> from genus.spec import Spec
    >>> report = verify("independent", specs=[Spec(shape=(1, 2, 3), levels=2)])
    >>> report.passed
    True
"""

from genus.conformance.loading import load_class as load_class
from genus.conformance.report import Finding as Finding
from genus.conformance.report import Report as Report
from genus.conformance.runner import verify as verify
from genus.conformance.specs import default_specs as default_specs
