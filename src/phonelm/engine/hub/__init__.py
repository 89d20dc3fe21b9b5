"""GGUF files of the Hugging Face hub: named, listed, fetched so that a stop loses nothing, and kept."""
