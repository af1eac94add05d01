"""Recipes under many seeds: means, intervals, paired comparisons."""

from under10k.study.report import StudyReport, WarningStudyReport
from under10k.study.results import Study, read_networks, read_points
from under10k.study.study import run_study

__all__ = [
    "Study",
    "StudyReport",
    "WarningStudyReport",
    "read_networks",
    "read_points",
    "run_study",
]
