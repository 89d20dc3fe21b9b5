"""The survey of small language models on a device: figures, tables and one page."""

from phonelm.report.survey.data import measured_models, published_scores
from phonelm.report.survey.figure import Figure
from phonelm.report.survey.page import survey_figures, write_survey

__all__ = ["Figure", "measured_models", "published_scores", "survey_figures", "write_survey"]
