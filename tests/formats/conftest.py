import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXT = "the cat sat on the mat 12 34, then the other cat said: 'that is my hat'\n" * 20


def write_tokenizer(folder: Path, vocab_size: int) -> None:
    """Train a small byte-level BPE tokenizer and save it as transformers does."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([digits, byte_level])
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>"
    )
    fast.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    fast.save_pretrained(folder)


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
