"""Probability laws that torch lacks: masses over levels, drawn from noise that is an argument."""

from genus.distributions.gaussian import DiagonalGaussian as DiagonalGaussian
from genus.distributions.gaussian import EntryGaussian as EntryGaussian
from genus.distributions.level import Bernoulli as Bernoulli
from genus.distributions.level import Categorical as Categorical
from genus.distributions.level import DiscretizedLogistic as DiscretizedLogistic
from genus.distributions.level import LevelLaw as LevelLaw
from genus.distributions.likelihoods import Likelihood as Likelihood
from genus.distributions.likelihoods import LikelihoodName as LikelihoodName
