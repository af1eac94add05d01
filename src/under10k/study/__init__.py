"""Recipes under many seeds: means, intervals, paired comparisons."""

from under10k.study.report import StudyReport, WarningStudyReport
from under10k.study.results import Study, read_networks, read_points
from under10k.study.study import run_study
from under10k.study.verdict import Rules, Verdict, write_markdown

__all__ = [
    "Rules",
    "Study",
    "StudyReport",
    "Verdict",
    "WarningStudyReport",
    "read_networks",
    "read_points",
    "run_study",
    "write_markdown",
]
