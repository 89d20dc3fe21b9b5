"""How good a model is: perplexity of text, and what quantization costs."""

from phonelm.evaluate.comparison import Comparison, check_vocabularies, compare
from phonelm.evaluate.divergence import kl_divergence, log_softmax
from phonelm.evaluate.perplexity import Perplexity, measure_perplexity
from phonelm.evaluate.speed import Speed, measure_speeds
from phonelm.evaluate.texts import EvaluationText, read_text, text_of
from phonelm.evaluate.windows import CONTEXT, TextWindows, Window, check_window, text_windows

__all__ = [
    "CONTEXT",
    "Comparison",
    "EvaluationText",
    "Perplexity",
    "Speed",
    "TextWindows",
    "Window",
    "check_vocabularies",
    "check_window",
    "compare",
    "kl_divergence",
    "log_softmax",
    "measure_perplexity",
    "measure_speeds",
    "read_text",
    "text_of",
    "text_windows",
]
