"""Training: recipes as files, one device or many, and runs that can be stopped at any moment."""

from promptsr.training.logs import TrainReport
from promptsr.training.loop import Outcome, train
from promptsr.training.recipe import Recipe
from promptsr.training.recipe_files import load_recipe

__all__ = ["Outcome", "Recipe", "TrainReport", "load_recipe", "train"]
