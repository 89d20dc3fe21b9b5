"""Low-rank adapters (LoRA, arXiv 2106.09685) of a model in training, by peft."""

# peft and transformers carry few types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def add_adapters(model: PreTrainedModel, rank: int) -> PreTrainedModel:
    """Freeze the model and give each matrix of its layers an adapter of this rank, scaled by 2.

    The adapters begin as zero, by torch's random state. The result has the model's own methods.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted: Any = get_peft_model(model, config)
    return adapted  # type: ignore[no-any-return]


def merge_adapters(model: PreTrainedModel) -> PreTrainedModel:
    """The model with its adapters added to its matrices; as it is where it has none."""
    merge: Any = getattr(model, "merge_and_unload", lambda: model)
    return merge()  # type: ignore[no-any-return]


def trained_state(model: nn.Module) -> dict[str, Any]:
    """The weights that training changes, by name: all, or of a frozen model those of its adapters."""
    state = model.state_dict()
    # Tied weights have two names in the state.
    named = model.named_parameters(remove_duplicate=False)
    frozen = {name for name, parameter in named if not parameter.requires_grad}
    return {name: value for name, value in state.items() if name not in frozen}


def load_trained_state(model: nn.Module, state: dict[str, Any]) -> None:
    """Put the weights of `trained_state` back. Raises `RuntimeError` where they are of another model."""
    missing = trained_state(model).keys() - state.keys()
    if missing:
        raise RuntimeError(f"the state lacks {sorted(missing)[0]}")
    unexpected = model.load_state_dict(state, strict=False).unexpected_keys
    if unexpected:
        raise RuntimeError(f"the model lacks {unexpected[0]}")
