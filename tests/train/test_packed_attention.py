"""Attention by document against transformers' own masked attention, for each architecture that is trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    ArceeConfig,
    AutoModelForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

import phonelm.hf  # noqa: F401  registers our own model type
from phonelm.train.batch import Batch
from phonelm.train.configuration import PhoneLMConfig
from phonelm.train.objective import NextToken
from phonelm.train.packed_attention import attend_within_documents

SHAPE: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
CONFIGS = [
    LlamaConfig(**SHAPE),
    ArceeConfig(**SHAPE),
    SmolLM3Config(**SHAPE),
    Qwen2Config(**{name: value for name, value in SHAPE.items() if name != "head_dim"}),
    Qwen3Config(**SHAPE),
    Phi3Config(**{name: value for name, value in SHAPE.items() if name != "head_dim"}),
    Gemma3TextConfig(**SHAPE, sliding_window=5, layer_types=["sliding_attention", "full_attention"]),
    PhoneLMConfig(**SHAPE),
]


def _batch() -> Batch:
    torch.manual_seed(1)
    positions = torch.cat([torch.arange(count) for count in (9, 4, 11)] + [torch.arange(24)]).view(2, 24)
    tokens = torch.randint(1, 96, (2, 24))
    return Batch(tokens, torch.randint(1, 96, (2, 24)), torch.rand(2, 24), positions)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: str(config.model_type))
def test_loss_and_gradients_equal_masked_attention(config: PreTrainedConfig) -> None:
    batch = _batch()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    logits = model(input_ids=batch.tokens, position_ids=batch.positions, use_cache=False).logits
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch.targets, reduction="none")
    expected = (losses * batch.weights).sum()
    expected.backward()
    gradients = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()
    attend_within_documents(model)
    ours = NextToken().loss(model, batch, torch.float32)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-4)
    ours.backward()  # type: ignore[no-untyped-call]
    for name, one in model.named_parameters():
        assert one.grad is not None
        torch.testing.assert_close(one.grad, gradients[name], rtol=1e-3, atol=2e-5)


def test_a_text_is_written_as_before() -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[-2], attn_implementation="eager").eval()
    prompt = torch.randint(1, 96, (1, 12))
    options = {"max_new_tokens": 8, "do_sample": False, "attention_mask": torch.ones_like(prompt)}
    expected = model.generate(prompt, **options)
    attend_within_documents(model)
    assert torch.equal(model.generate(prompt, **options), expected)


def test_documents_are_found_by_their_positions() -> None:
    assert _batch().documents() == [[9, 4, 11], [24]]
    assert [part.documents() for part in _batch().split(1)] == [[[9, 4, 11]], [[24]]]
