"""How well a trained network reads: metrics, corruptions, intervals."""

from under10k.evaluation import corruptions
from under10k.evaluation.corruptions import CORRUPTIONS, corrupt
from under10k.evaluation.metrics import (
    CorruptionScore,
    Metrics,
    evaluate,
    evaluate_corruptions,
    like,
    mean_corruption_accuracy,
    predict_logits,
)
from under10k.evaluation.statistics import FEWEST_PAIRS, Interval, mean_interval, paired_difference

__all__ = [
    "CORRUPTIONS",
    "CorruptionScore",
    "FEWEST_PAIRS",
    "Interval",
    "Metrics",
    "corrupt",
    "corruptions",
    "evaluate",
    "evaluate_corruptions",
    "like",
    "mean_corruption_accuracy",
    "mean_interval",
    "paired_difference",
    "predict_logits",
]
