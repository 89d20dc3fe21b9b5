"""Why a model is not measured, in the field's words instead of a configuration's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_WORDS = {
    "embedding.learned_positions": "learned positions",
    "embedding.position_offset": "",
    "embedding.size": "an embedding narrower than the layers",
    "embedding.norm": "a norm after the embedding",
    "embedding.scaled": "",
    "layers.mixer.rope": "",
    "layers.mixer.rope.fraction": "rotary positions in {value} of each head",
    "layers.mixer.alibi": "ALiBi positions",
    "layers.mixer.bias": "biases in attention",
    "layers.mixer.qk_norm": "a norm over all queries and all keys",
    "layers.ffn.bias": "biases in the FFN",
    "layers.ffn.activation": "FFNs with {value}",
    "layers.residual.parallel": "attention and FFN side by side",
    "layers.residual.shared_norm": "",
    "layers.norm.kind": "norms of the kind {value}",
    "norm.kind": "",
    "head.norm": "a head without a norm",
    "head.bias": "a bias in the head",
    "shared_ffn": "one FFN for all layers",
    "layers": "layers of different sizes",
}
"""By the paths of features; empty for what goes without saying beside another."""
_VALUES = {
    "gelu": "exact GELU",
    "gelu_tanh": "GELU",
    "layernorm_no_bias": "LayerNorm without bias",
    "layernorm_nonparametric": "LayerNorm without weights",
}
_ABSENT = ("False", "None", "none")


def reason_of(lacking: Iterable[str], caveats: Sequence[str]) -> str:
    """What keeps the runtime from a model, from `path = value` of each feature it lacks; empty for nothing.

    A feature that the model does not have tells only that the nearest kind of decoders has it: then the
    model's own peculiarities (`caveats`) say more.
    """
    pairs = [feature.partition(" = ")[::2] for feature in lacking]
    if not pairs:
        return ""
    words = [_words(path, value) for path, value in pairs if path == "head.norm" or value not in _ABSENT]
    if said := [word for word in dict.fromkeys(words) if word]:
        return f"the runtime lacks: {', '.join(said)}"
    if caveats:
        return f"the runtime lacks this kind, which {'; '.join(caveats)}"
    return f"the runtime lacks: {', '.join(f'{path} = {value}' for path, value in pairs)}"


def _words(path: str, value: str) -> str:
    known = _WORDS.get(path)
    if known is None:
        return f"{path} = {value}"
    share = f"{float(value):.0%}" if path.endswith("fraction") else _VALUES.get(value, value)
    return known.format(value=share)
