import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokenizer_folder import write_tokenizer

MakeCheckpoint = Callable[..., Path]


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> MakeCheckpoint:
    """Save a tiny random LLaMA with tokenizer; `edit` changes its config.json, `shard` splits its weights."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    def make(
        *, edit: dict[str, Any] | None = None, shard: str = "50MB", dtype: str = "float32", **shape: Any
    ) -> Path:
        torch.manual_seed(0)
        sizes = {
            "vocab_size": 300,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }
        folder = tmp_path / "checkpoint"
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**(sizes | shape)))
        model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shard)
        write_tokenizer(folder, 280)
        if edit:
            path = folder / "config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | edit))
        return folder

    return make
