"""How good a model is: what quantization costs."""

from phonelm.evaluate.divergence import kl_divergence, log_softmax

__all__ = ["kl_divergence", "log_softmax"]
