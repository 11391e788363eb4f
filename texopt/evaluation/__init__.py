"""The numbers of a result: style, content, seams, coverage, size of strokes, sharpness."""

from texopt.evaluation.picture import evaluate_image
from texopt.evaluation.report import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate", "evaluate_image"]
