"""Objectives: named losses of a View that add and scale."""

from texopt.objectives import functional
from texopt.objectives.color_histogram import colors
from texopt.objectives.content_loss import content
from texopt.objectives.frames import across_frames, alignment, by_frame, diversity, transparent
from texopt.objectives.gram_matrices import GramEMA, gram_matrix, style
from texopt.objectives.lighting import lit
from texopt.objectives.mask_loss import silhouettes
from texopt.objectives.patch_matching import patches
from texopt.objectives.photo_light import find_light
from texopt.objectives.photo_loss import photographs
from texopt.objectives.regularization import blur, change, l1, l2, seam, total_variation
from texopt.objectives.stroke_direction import strokes
from texopt.objectives.terms import Objective, Term, as_objective, objective, on
from texopt.objectives.visualization import channel, classified_as, deepdream, direction, inversion, logit, neuron

__all__ = [
    "GramEMA", "Objective", "Term", "across_frames", "alignment", "as_objective", "blur", "by_frame", "change",
    "channel", "classified_as", "colors", "content", "deepdream", "direction", "diversity", "find_light", "functional",
    "gram_matrix", "inversion", "l1", "l2", "lit", "logit", "neuron", "objective", "on", "patches", "photographs",
    "seam", "silhouettes", "strokes", "style", "total_variation", "transparent",
]  # fmt: skip
