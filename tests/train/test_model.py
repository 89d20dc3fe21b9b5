"""The torch model against transformers' LLaMA and against a plain reading of the paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import ArceeConfig, ArceeForCausalLM, LlamaConfig, LlamaForCausalLM

from phonelm.train.model import PhoneLMConfig, PhoneLMForCausalLM

SHAPE = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 64,
}


def make_model(seed: int = 0, **settings: object) -> PhoneLMForCausalLM:
    torch.manual_seed(seed)
    model = PhoneLMForCausalLM(PhoneLMConfig(**{**SHAPE, **settings}))
    with torch.no_grad():
        for parameter in model.parameters():
            # Larger than at the start of training, so that every part of the model shows in the logits.
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model.eval()


def tokens(batch: int = 2, length: int = 13, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 97, (batch, length), generator=torch.Generator().manual_seed(seed))


def reference_logits(
    model: PhoneLMForCausalLM, ids: np.ndarray, table: str, calls: tuple[int, ...] = (13,)
) -> np.ndarray:
    """Logits of one sequence in numpy, written from the paper's description; [length, vocab].

    `calls` are the numbers of tokens that went in together: each had rotary tables of its own.
    """
    config = model.config
    weights = {name: value.detach().double().numpy() for name, value in model.state_dict().items()}
    heads, kv_heads, size = config.num_attention_heads, config.num_key_value_heads, config.head_dim

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + config.rms_norm_eps) * weights[name + ".weight"]

    def quantized(x: np.ndarray) -> np.ndarray:
        if table == "float":
            return x
        largest = np.abs(x).max() if table == "int8_per_call" else 1.0
        return x if largest == 0 else np.round(127 * x / largest).astype(np.int8) / 127 * largest

    angle = np.arange(len(ids))[:, None] * config.rope_theta ** (-np.arange(0, size, 2) / size)[None]
    angles = np.split(angle, np.cumsum(calls)[:-1])
    cos, sin = (
        np.concatenate([quantized(function(part)) for part in angles]) for function in (np.cos, np.sin)
    )

    def turn(x: np.ndarray) -> np.ndarray:
        a, b = x[..., : size // 2], x[..., size // 2 :]
        return np.concatenate([a * cos[:, None] - b * sin[:, None], b * cos[:, None] + a * sin[:, None]], -1)

    hidden = weights["model.embed_tokens.weight"][ids]
    for layer in range(config.num_hidden_layers):
        at = f"model.layers.{layer}."
        x = norm(hidden, at + "input_layernorm")
        q, k, v = (
            (x @ weights[f"{at}self_attn.{name}_proj.weight"].T).reshape(len(ids), -1, size) for name in "qkv"
        )
        q, k = turn(q), turn(k)
        mixed = np.zeros_like(q)
        for head in range(heads):
            shared = head // (heads // kv_heads)
            for place in range(len(ids)):
                scores = k[: place + 1, shared] @ q[place, head] / math.sqrt(size)
                share = np.exp(scores - scores.max())
                mixed[place, head] = share / share.sum() @ v[: place + 1, shared]
        hidden = hidden + mixed.reshape(len(ids), -1) @ weights[at + "self_attn.o_proj.weight"].T
        x = norm(hidden, at + "post_attention_layernorm")
        up = x @ weights[at + "mlp.up_proj.weight"].T
        if config.ffn_gated:
            up *= np.maximum(x @ weights[at + "mlp.gate_proj.weight"].T, 0)
        else:
            up = np.maximum(up, 0) ** 2
        hidden = hidden + up @ weights[at + "mlp.down_proj.weight"].T
    return norm(hidden, "model.norm") @ weights["lm_head.weight"].T


@pytest.mark.parametrize("table", ["int8_per_call", "int8", "float"])
@pytest.mark.parametrize(("kv_heads", "tied"), [(4, True), (2, False), (1, True)])
def test_logits_are_those_of_the_paper(table: str, kv_heads: int, tied: bool) -> None:
    model = make_model(rope_table=table, num_key_value_heads=kv_heads, tie_word_embeddings=tied)
    ids = tokens(1)
    logits = model(ids).logits[0].detach().numpy()
    expected = reference_logits(model, ids[0].numpy(), table)
    np.testing.assert_allclose(logits, expected, atol=2e-4)
    if table != "float":
        plain = reference_logits(model, ids[0].numpy(), "float")
        assert np.abs(plain - expected).max() > 1e-3


def test_plain_squared_relu_without_gate_and_own_head_size() -> None:
    model = make_model(hidden_act="relu2", ffn_gated=False, rope_table="float", head_dim=20)
    assert not any("gate_proj" in name for name in model.state_dict())
    ids = tokens(1)
    expected = reference_logits(model, ids[0].numpy(), "float")
    np.testing.assert_allclose(model(ids).logits[0].detach().numpy(), expected, atol=2e-4)
    arcee = ArceeForCausalLM(ArceeConfig(**SHAPE, head_dim=20, tie_word_embeddings=True)).eval()
    arcee.load_state_dict(model.state_dict())
    torch.testing.assert_close(arcee(ids).logits, model(ids).logits)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_silu_and_float_table_are_llama(attention: str) -> None:
    model = make_model(
        hidden_act="silu", rope_table="float", num_key_value_heads=2, tie_word_embeddings=False
    )
    llama = LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=2)).eval()
    llama.load_state_dict(model.state_dict())
    model.set_attn_implementation(attention)
    llama.set_attn_implementation(attention)
    ids, mask = tokens(), torch.ones(2, 13, dtype=torch.long)
    mask[0, :4] = 0
    ours, theirs = (m(ids, attention_mask=mask, labels=ids) for m in (model, llama))
    torch.testing.assert_close(ours.logits, theirs.logits)
    torch.testing.assert_close(ours.loss, theirs.loss)
    assert torch.equal(
        model.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=0),
        llama.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=0),
    )


@pytest.mark.parametrize("table", ["int8", "float"])
def test_cached_steps_equal_one_pass(table: str) -> None:
    model = make_model(rope_table=table, num_key_value_heads=2)
    ids = tokens()
    cache, steps = None, []
    for part in (ids[:, :5], ids[:, 5:6], ids[:, 6:7], ids[:, 7:]):
        output = model(part, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        steps.append(output.logits)
    torch.testing.assert_close(torch.cat(steps, 1), model(ids).logits, atol=1e-5, rtol=1e-5)


def test_published_table_has_its_own_scale_in_each_call() -> None:
    model = make_model(rope_table="int8_per_call", num_key_value_heads=2)
    ids, calls = tokens(1), (1, 8, 1, 1, 2)
    cache, steps = None, []
    for part in torch.split(ids, calls, dim=1):
        output = model(part, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        steps.append(output.logits[0])
    stepped = torch.cat(steps).detach().numpy()
    np.testing.assert_allclose(
        stepped, reference_logits(model, ids[0].numpy(), "int8_per_call", calls), atol=2e-4
    )
    assert np.abs(stepped - model(ids).logits[0].detach().numpy()).max() > 1e-3


def test_generate_continues_greedily() -> None:
    model = make_model()
    ids = tokens(1)
    generated = model.generate(ids, max_new_tokens=4, do_sample=False, pad_token_id=0)
    assert generated.shape == (1, 17)
    assert generated[0, 13] == model(ids).logits[0, -1].argmax()


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    ids, gradients = tokens(), []
    for checkpointing in (False, True):
        model = make_model().train()
        if checkpointing:
            model.activation_checkpointing_enable()
        model(ids, labels=ids, use_cache=False).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_hidden_states_and_attentions_are_returned() -> None:
    model = make_model()
    model.set_attn_implementation("eager")
    output = model(tokens(), output_hidden_states=True, output_attentions=True)
    assert len(output.hidden_states) == 3
    assert output.attentions[0].shape == (2, 4, 13, 13)
    torch.testing.assert_close(output.attentions[1].sum(-1), torch.ones(2, 4, 13))


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"rope_table": "int4"}, "rope_table"),
        ({"num_key_value_heads": 3}, "multiple"),
        ({"attention_bias": True}, "biases"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling"),
    ],
)
def test_what_the_model_cannot_compute_is_refused(settings: dict[str, object], word: str) -> None:
    with pytest.raises(Exception, match=word):
        PhoneLMConfig(**{**SHAPE, **settings})
