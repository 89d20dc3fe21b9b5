"""The PhoneLM decoder as a transformers model; parameter names are those of Hugging Face's LLaMA.

It differs from LLaMA in the FFN (`down(relu(gate(x)) * up(x))`, or plain `down(act(up(x)))`) and in the
rotary tables, which may be rounded to int8 (see `phonelm.train.rotary`).
"""

# The base classes and decorators of transformers carry no types.
# mypy: disable-error-code="no-untyped-call,untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache, DynamicCache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from phonelm.train.configuration import PhoneLMConfig, decoder_to_hf
from phonelm.train.norms import NORMS
from phonelm.train.rotary import rotary_tables, rotate

__all__ = ["PhoneLMConfig", "PhoneLMForCausalLM", "PhoneLMModel", "decoder_to_hf"]


def make_norm(config: PhoneLMConfig) -> nn.Module:
    """A norm of the residual stream."""
    return NORMS[config.norm_kind](config.hidden_size, config.rms_norm_eps)


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    """Attention spelt out, softmax in float32: `([batch, length, heads, head_dim], probabilities)`."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return (weights @ value).transpose(1, 2).contiguous(), weights


class PhoneLMAttention(nn.Module):
    """Causal attention with rotary positions; queries may share keys and values (GQA)."""

    def __init__(self, config: PhoneLMConfig, layer_idx: int) -> None:
        super().__init__()
        assert config.head_dim is not None
        assert config.num_key_value_heads is not None
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = True
        query_size = config.num_attention_heads * self.head_dim
        kv_size = config.num_key_value_heads * self.head_dim
        self.q_proj = nn.Linear(config.hidden_size, query_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, kv_size, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, kv_size, bias=False)
        self.o_proj = nn.Linear(query_size, config.hidden_size, bias=False)

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Map [batch, length, hidden] to the same shape, and return the attention weights where known."""
        shape = hidden_states.shape[:-1]
        split = (*shape, -1, self.head_dim)
        query = rotate(self.q_proj(hidden_states).view(split).transpose(1, 2), *position_embeddings)
        key = rotate(self.k_proj(hidden_states).view(split).transpose(1, 2), *position_embeddings)
        value = self.v_proj(hidden_states).view(split).transpose(1, 2)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend: Callable[..., tuple[Tensor, Tensor | None]] = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention
        )
        mixed, weights = attend(self, query, key, value, attention_mask, scaling=self.scaling, **kwargs)
        return self.o_proj(mixed.reshape(*shape, -1)), weights


class PhoneLMMLP(nn.Module):
    """`down(act(gate(x)) * up(x))`, or `down(act(up(x)))` without a gate."""

    def __init__(self, config: PhoneLMConfig) -> None:
        super().__init__()
        if config.ffn_gated:
            self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.gated = config.ffn_gated
        self.act_fn = ACT2FN[config.hidden_act]

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [..., hidden] to the same shape."""
        up = self.up_proj(hidden)
        live = self.act_fn(self.gate_proj(hidden)) * up if self.gated else self.act_fn(up)
        mixed: Tensor = self.down_proj(live)
        return mixed


class PhoneLMDecoderLayer(GradientCheckpointingLayer):
    """Attention and FFN, each on the normalized residual stream and added to it."""

    def __init__(self, config: PhoneLMConfig, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = PhoneLMAttention(config, layer_idx)
        self.mlp = PhoneLMMLP(config)
        self.input_layernorm = make_norm(config)
        self.post_attention_layernorm = make_norm(config)

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        """Map [batch, length, hidden] to the same shape; keywords are `PhoneLMAttention.forward`'s."""
        mixed, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
        hidden_states = hidden_states + mixed
        fed: Tensor = self.mlp(self.post_attention_layernorm(hidden_states))
        return hidden_states + fed


class PhoneLMPreTrainedModel(PreTrainedModel):
    """What transformers must know of the family."""

    config: PhoneLMConfig
    config_class = PhoneLMConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["PhoneLMDecoderLayer"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs = {"hidden_states": PhoneLMDecoderLayer, "attentions": PhoneLMAttention}  # noqa: RUF012


class PhoneLMModel(PhoneLMPreTrainedModel):
    """The decoder without its output head."""

    def __init__(self, config: PhoneLMConfig) -> None:
        super().__init__(config)
        self.padding_idx = config.pad_token_id
        self.vocab_size = config.vocab_size
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, self.padding_idx)
        self.layers = nn.ModuleList(PhoneLMDecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.norm = make_norm(config)
        self.gradient_checkpointing = False
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Hidden states [batch, length, hidden] of tokens [batch, length] or of their embeddings."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        hidden = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        positions = (
            position_ids if position_ids is not None else self._next_positions(hidden, past_key_values)
        )
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=hidden,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            position_ids=positions,
        )
        config = self.config
        assert config.head_dim is not None
        tables = rotary_tables(positions, config.head_dim, config.rope_theta, config.rope_table)
        for layer in self.layers:
            hidden = layer(
                hidden,
                attention_mask=mask,
                position_embeddings=tables,
                position_ids=positions,
                past_key_values=past_key_values,
                use_cache=use_cache,
                **kwargs,
            )
        return BaseModelOutputWithPast(last_hidden_state=self.norm(hidden), past_key_values=past_key_values)

    @staticmethod
    def _next_positions(hidden: Tensor, past_key_values: Cache | None) -> Tensor:
        seen = past_key_values.get_seq_length() if past_key_values is not None else 0
        return (torch.arange(hidden.shape[1], device=hidden.device) + seen)[None]


class PhoneLMForCausalLM(PhoneLMPreTrainedModel, GenerationMixin):
    """The decoder with its output head, tied to the embedding or not."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: PhoneLMConfig) -> None:
        super().__init__(config)
        self.model = PhoneLMModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits [batch, length, vocab] of the next tokens, and the mean loss in nats for `labels`.

        `labels` are the inputs themselves (they are shifted inside; -100 is ignored). `logits_to_keep` limits
        the head to the last positions, or to the indices given.
        """
        outputs: BaseModelOutputWithPast = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        assert outputs.last_hidden_state is not None
        logits = self.lm_head(outputs.last_hidden_state[:, kept, :])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs
            )
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
