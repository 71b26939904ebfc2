"""What models are good for: features, classifiers, Bayes' rule, pictures of what they learned.

An application asks what a model can do and never which model it is.
"""

from genus.applications.bayes import Classification as Classification
from genus.applications.bayes import classify as classify
from genus.applications.classifier import Gains as Gains
from genus.applications.classifier import train_classifier as train_classifier
from genus.applications.curves import plot_curves as plot_curves
from genus.applications.extract import FeatureTable as FeatureTable
from genus.applications.extract import extract_features as extract_features
from genus.applications.filters import plot_filters as plot_filters
from genus.applications.fine_tuning import FineTuning as FineTuning
from genus.applications.interpolation import plot_interpolation as plot_interpolation
from genus.applications.latent_map import plot_latent_map as plot_latent_map
from genus.applications.latent_search import Found as Found
from genus.applications.latent_search import SearchOptions as SearchOptions
from genus.applications.latent_search import search_latents as search_latents
from genus.applications.neighbours import plot_neighbours as plot_neighbours
from genus.applications.picture import Picture as Picture
from genus.applications.probe import Probe as Probe
from genus.applications.probe import linear_probe as linear_probe
from genus.applications.probe import value_probe as value_probe
from genus.applications.projection import plot_projection as plot_projection
from genus.applications.reconstructions import plot_reconstructions as plot_reconstructions
from genus.applications.state_paths import plot_states as plot_states
from genus.applications.traversal import plot_traversal as plot_traversal
