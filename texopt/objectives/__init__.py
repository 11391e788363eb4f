"""Objectives: named losses of a View that add and scale."""

from texopt.objectives.colors import colors
from texopt.objectives.content import content
from texopt.objectives.objective import Objective, Term, as_objective, objective
from texopt.objectives.regularization import seam, total_variation
from texopt.objectives.style import GramEMA, gram_matrix, style
from texopt.objectives.visualization import channel, direction, logit, neuron

__all__ = [
    "GramEMA", "Objective", "Term", "as_objective", "channel", "colors", "content", "direction", "gram_matrix", "logit",
    "neuron", "objective", "seam", "style", "total_variation",
]  # fmt: skip
