"""The small language models of the survey (arXiv 2409.15790) and some more, as data with decoder shapes.

A row's configuration describes its matrices, norms and operators, which is what cost and size follow from. It
leaves out scalar multipliers and masks (Gemma's embedding scale and logit cap, MiniCPM's residual scale,
sliding windows, scaled RoPE frequencies); `caveats` lists those that the registry's data mention.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from phonelm.arch.config import DecoderConfig

_ACTIVATIONS = {"ReLU": "relu", "ReLU^2": "relu2", "SiLU": "silu", "GELU": "gelu", "GELU-tanh": "gelu_tanh"}
_NORMS = {
    "LayerNorm": "layernorm",
    "LayerNorm (shared attn/mlp)": "layernorm",
    "LayerNorm (no bias)": "layernorm_no_bias",
    "LayerNorm (non-parametric)": "layernorm_nonparametric",
    "RMSNorm": "rmsnorm",
    "RMSNorm (pre+post)": "rmsnorm",
    "RMSNorm (+QK-norm)": "rmsnorm",
}
_BIASES = {"no": "none", "yes": "all", "qkv only": "qkv"}

# What the columns have no room for; the prefix is that of the model's name. From the models' own sources.
_EXTRAS: dict[str, dict[str, Any]] = {
    "OPT-350M": {"embedding_size": 512, "final_norm": False},
    "OPT-": {"learned_position_offset": 2},
    "Galactica-": {"learned_position_offset": 2},
    "Bloom": {"embedding_norm": True},
    "Phi-1": {"head_bias": True},
    "Phi-2": {"head_bias": True},
    "PhoneLM-": {"norm_eps": 1e-6},
}
_CAVEATS: dict[str, str] = {
    "OPT-350M": "normalizes after the residual sum instead of before the block",
    "Gemma-": "scales the embedding by the square root of the width",
    "Gemma-2-": "caps logits; every other layer attends 4096 positions only",
    "MiniCPM-": "scales embedding, residuals and logits by constants",
    "Phi-3-": "attends a sliding window in its 4k variant",
}


class RegistryRow(BaseModel):
    """One model: sizes as published, with its shape where a `DecoderConfig` can describe it."""

    model_config = ConfigDict(frozen=True)

    name: str
    org: str
    date: str
    """Year and month of the release."""
    params_m: float | None
    """Parameters in millions, computed from the published configuration; tied matrices count once."""
    attention: str
    layers: int | None
    hidden: int | None
    heads: str
    """A number, or the range over the layers."""
    kv_heads: str
    head_dim: int | None
    ffn_type: str
    activation: str
    intermediate: str
    context: int | None
    vocab: int | None
    norm: str
    position: str
    tied: bool | None
    bias: str
    datasets: str
    tokens_b: float | None
    """Training tokens in billions."""
    source: str
    config: DecoderConfig | None = Field(default=None)
    unsupported_reason: str | None = None
    """Why `config` is None."""
    caveats: tuple[str, ...] = ()

    @property
    def notes(self) -> str:
        """Where the data come from, and what the configuration leaves out."""
        return "; ".join((self.source, *self.caveats))


@cache
def registry() -> list[RegistryRow]:
    """All rows, in the order of the file."""
    text = files("phonelm.arch").joinpath("slm_registry.csv").read_text(encoding="utf-8")
    return [_row(cells) for cells in csv.DictReader(text.splitlines())]


def _row(cells: dict[str, str]) -> RegistryRow:
    values: dict[str, Any] = {name: cell.strip() for name, cell in cells.items()}
    for name in ("params_m", "layers", "hidden", "head_dim", "context", "vocab", "tokens_b"):
        values[name] = values[name] or None
    values["tied"] = {"yes": True, "no": False}.get(values["tied"])
    reason = _unsupported(values)
    config = None if reason else _config(values)
    return RegistryRow(**values, config=config, unsupported_reason=reason, caveats=_caveats(values))


def _unsupported(row: dict[str, Any]) -> str | None:
    if row["attention"].startswith("MLA"):
        return "multi-head latent attention compresses keys and values; there are no plain K and V matrices"
    if "RG-LRU" in row["attention"]:
        return "two of three layers are RG-LRU recurrences instead of attention"
    needed = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn_type", "activation", "intermediate")
    missing = [name for name in (*needed, "vocab", "norm", "position", "context") if not row[name]]
    return f"the published data lack {', '.join(missing)}" if missing else None


def _config(row: dict[str, Any]) -> DecoderConfig:
    values: dict[str, Any] = {
        "vocab_size": row["vocab"],
        "hidden_size": row["hidden"],
        "num_layers": int(row["layers"]),
        "head_dim": row["head_dim"],
        "context_length": row["context"],
        "tie_embeddings": row["tied"],
        "ffn": "gated" if row["ffn_type"].startswith("gated") else "plain",
        "activation": _ACTIVATIONS[row["activation"]],
        "norm": _NORMS[row["norm"]],
        "bias": _BIASES[row["bias"]],
        "parallel_residual": "parallel residual" in row["ffn_type"],
        "shared_ffn": "shared by all layers" in row["ffn_type"],
        "shared_norm": "shared" in row["norm"],
        "post_norm": "pre+post" in row["norm"],
        "qk_norm": _qk_norm(row),
        **_sizes(row),
        **_position(row["position"]),
    }
    for prefix, extra in _EXTRAS.items():
        if row["name"].startswith(prefix):
            values |= extra
    return DecoderConfig(**values)


def _qk_norm(row: dict[str, Any]) -> str:
    if "QK-norm" in row["norm"]:
        return "head"
    return "full" if "QK LayerNorm over full width" in row["attention"] else "none"


def _position(text: str) -> dict[str, Any]:
    if not text.startswith("RoPE"):
        return {"position": {"learned absolute": "learned", "ALiBi": "alibi"}[text]}
    values: dict[str, Any] = {"position": "rope", "rope_table": "int8" if "int8" in text else "float"}
    if theta := re.search(r"theta ([\d.e]+)", text):
        values["rope_theta"] = float(theta.group(1))
    if share := re.search(r"(\d+)% of head", text):
        values["rope_fraction"] = int(share.group(1)) / 100
    return values


def _sizes(row: dict[str, Any]) -> dict[str, Any]:
    if row["heads"].isdecimal():
        names = {"num_heads": "heads", "num_kv_heads": "kv_heads", "intermediate_size": "intermediate"}
        return {name: int(row[column]) for name, column in names.items()}
    return _openelm_sizes(int(row["layers"]), int(row["hidden"]), int(row["head_dim"]))


def _openelm_sizes(layers: int, hidden: int, head_dim: int) -> dict[str, tuple[int, ...]]:
    """OpenELM's layer-wise scaling (arXiv 2404.14619, `configuration_openelm.py`).

    Query width rises from 0.5 to 1 times the hidden size in steps of four heads (one KV head), the FFN from
    0.5 to 4 times in steps of 256; multipliers are rounded to two decimals.
    """
    shares = [layer / (layers - 1) for layer in range(layers)]
    widths = [_nearest_multiple(round(0.5 + 0.5 * share, 2) * hidden, 4 * head_dim) for share in shares]
    ffn = [_nearest_multiple(round(0.5 + 3.5 * share, 2) * hidden, 256) for share in shares]
    heads = tuple(width // head_dim for width in widths)
    return {"num_heads": heads, "num_kv_heads": tuple(n // 4 for n in heads), "intermediate_size": tuple(ffn)}


def _nearest_multiple(value: float, step: int) -> int:
    """The nearest multiple of `step`, at least one step and never below 0.9 of the value."""
    nearest = max(step, int(value + step / 2) // step * step)
    return nearest + step if nearest < 0.9 * value else nearest


def _caveats(row: dict[str, Any]) -> tuple[str, ...]:
    found = [text for prefix, text in _CAVEATS.items() if row["name"].startswith(prefix)]
    if "(scaled)" in row["position"] or "longrope" in row["position"]:
        found.append("RoPE frequencies are scaled for long contexts")
    return tuple(found)
