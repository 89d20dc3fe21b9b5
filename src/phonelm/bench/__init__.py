"""Speed and memory of models as a user sees them."""

from phonelm.bench.checks import KV_TYPES, check_file
from phonelm.bench.memory import peak_rss_bytes
from phonelm.bench.process import measure_file
from phonelm.bench.result import BenchResult, Spread
from phonelm.bench.speed import measure

__all__ = [
    "KV_TYPES",
    "BenchResult",
    "Spread",
    "check_file",
    "measure",
    "measure_file",
    "peak_rss_bytes",
]
