"""A layer: a mixer of tokens, an FFN, their norms and how they are added to the residual stream."""

from __future__ import annotations

from pydantic import model_validator

from phonelm.arch.attention import Attention
from phonelm.arch.ffn import Ffn
from phonelm.arch.norm import Norm
from phonelm.arch.part import Part, TensorShape


class Residual(Part):
    """Where norms stand, and what is added to what."""

    parallel: bool = False
    """Attention and FFN read the same input and are added together."""
    shared_norm: bool = False
    """One norm feeds attention and FFN (only where parallel; Phi-1, Phi-2)."""
    post_norm: bool = False
    """A second norm after attention and after the FFN (Gemma-2)."""

    @model_validator(mode="after")
    def _consistent(self) -> Residual:
        if self.shared_norm and not self.parallel:
            raise ValueError("shared_norm needs a parallel residual (parallel_residual)")
        return self


class Layer(Part):
    """One layer of a decoder."""

    mixer: Attention
    ffn: Ffn
    norm: Norm = Norm()
    residual: Residual = Residual()

    def tensors(self, hidden_size: int, has_ffn: bool = True) -> list[TensorShape]:
        """Its tensors, names without `blk.N.`; `has_ffn` is false where layers share one FFN."""
        norm, residual = self.norm, self.residual
        found = [*norm.tensors("attn_norm", hidden_size), *self.mixer.tensors(hidden_size, norm)]
        if residual.post_norm:
            found += norm.tensors("post_attention_norm", hidden_size)
        if not residual.shared_norm:
            found += norm.tensors("ffn_norm", hidden_size)
        if has_ffn:
            found += self.ffn.tensors(hidden_size)
        if residual.post_norm:
            found += norm.tensors("post_ffw_norm", hidden_size)
        return found
