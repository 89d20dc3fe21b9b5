"""Corpora to cleaned, tokenized, memory-mapped shards, and shards to batches."""

from phonelm.data.config import DataConfig
from phonelm.data.manifest import DataManifest
from phonelm.data.prepare import prepare

__all__ = ["DataConfig", "DataManifest", "prepare"]
