"""Speed and memory of models as a user meets them."""

from phonelm.bench.memory import peak_rss_bytes
from phonelm.bench.speed import BenchResult, Spread, measure, measure_file

__all__ = ["BenchResult", "Spread", "measure", "measure_file", "peak_rss_bytes"]
