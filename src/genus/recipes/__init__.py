"""Runs of papers and of our own results, each a function whose docstring has command and cost.

Example:
    >>> from genus import recipes
    >>> print(recipes.find("binarized-mnist/pixelcnn").command)
    genus train pixelcnn --data binarized-mnist --time-budget 30m
"""

from genus.recipes import binarized_mnist as binarized_mnist
from genus.recipes import binarized_mnist_papers as binarized_mnist_papers
from genus.recipes import cifar10 as cifar10
from genus.recipes import fashion_mnist as fashion_mnist
from genus.recipes import mnist as mnist
from genus.recipes.recipe import RECIPES as RECIPES
from genus.recipes.recipe import Recipe as Recipe
from genus.recipes.recipe import about as about
from genus.recipes.recipe import find as find
