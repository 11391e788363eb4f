"""The numbers of a result: style, content, seams, coverage, size of strokes, sharpness."""

from texopt.evaluation.classification import classified_share
from texopt.evaluation.picture import evaluate_image
from texopt.evaluation.report import Evaluation, evaluate

__all__ = ["Evaluation", "classified_share", "evaluate", "evaluate_image"]
