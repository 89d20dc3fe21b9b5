"""What a shape is expected to be worth before it is trained."""

from phonelm.search.quality.predictor import Evidence, Predictor
from phonelm.search.quality.proxy import LIMITATION, non_embedding_proxy

__all__ = ["LIMITATION", "Evidence", "Predictor", "non_embedding_proxy"]
