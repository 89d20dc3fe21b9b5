"""Published checkpoints load through transformers' Auto classes with no remote code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

import phonelm.hf
from phonelm.hf import PhoneLMConfig, PhoneLMForCausalLM

PUBLISHED = {
    "architectures": ["PhoneLMForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_phonelm.PhoneLMConfig",
        "AutoModelForCausalLM": "modeling_phonelm.PhoneLMForCausalLM",
    },
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "relu",
    "hidden_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "model_type": "phonelm",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 4,
    "partial_rotary_factor": 0.25,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.3",
    "use_cache": True,
    "vocab_size": 64,
}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder as on the hub: the head is tied and so not stored."""
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED))
    torch.manual_seed(0)
    weights = PhoneLMForCausalLM(PhoneLMConfig(**PUBLISHED)).state_dict()
    weights.pop("lm_head.weight")
    save_file({k: v.bfloat16() for k, v in weights.items()}, tmp_path / "model.safetensors", {"format": "pt"})
    return tmp_path


def test_a_published_folder_loads_without_remote_code(published: Path) -> None:
    config = AutoConfig.from_pretrained(published)
    assert type(config) is PhoneLMConfig
    assert (config.rope_table, config.ffn_gated, config.head_dim) == ("int8_per_call", True, 8)
    model = AutoModelForCausalLM.from_pretrained(published, dtype=torch.float32)
    assert type(model) is PhoneLMForCausalLM
    assert model.lm_head.weight is model.model.embed_tokens.weight
    body = AutoModel.from_pretrained(published, dtype=torch.float32)
    ids = torch.arange(9)[None]
    hidden = body(ids).last_hidden_state
    torch.testing.assert_close(model(ids).logits, hidden @ model.lm_head.weight.T)


def test_bfloat16_checkpoint_computes_in_bfloat16(published: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(published, dtype="auto")
    assert model(torch.arange(9)[None]).logits.dtype is torch.bfloat16


@pytest.mark.parametrize("tied", [True, False])
def test_saved_and_loaded_again_it_is_the_same(tmp_path: Path, tied: bool) -> None:
    settings = {**PUBLISHED, "tie_word_embeddings": tied, "rope_table": "int8", "num_key_value_heads": 2}
    model = PhoneLMForCausalLM(PhoneLMConfig(**settings)).float().eval()
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert again.config.rope_table == "int8"
    assert again.config.rope_theta == 10000.0
    ids = torch.arange(9)[None]
    assert torch.equal(model(ids).logits, again(ids).logits)


def test_import_registers_the_model_type() -> None:
    assert isinstance(AutoConfig.for_model("phonelm"), phonelm.hf.PhoneLMConfig)


def test_without_torch_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None; import phonelm.hf"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "phonelm[train]"' in done.stderr.splitlines()[-1]
