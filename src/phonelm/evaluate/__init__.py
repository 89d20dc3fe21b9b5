"""How good a model is: bits per byte, perplexity, and what quantization costs."""

from phonelm.evaluate.bits_per_byte import bits_per_byte, perplexity
from phonelm.evaluate.divergence import kl_divergence, log_softmax

__all__ = ["bits_per_byte", "kl_divergence", "log_softmax", "perplexity"]
