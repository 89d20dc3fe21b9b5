"""Where and in which precision a run computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from phonelm.progress import Progress
from phonelm.train.config import TrainConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def choose_device(config: TrainConfig) -> torch.device:
    """The configured device; `auto` takes CUDA where present. Raises `ValueError` for an unknown one."""
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=config.device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {config.device!r} cannot be used ({reason}); use device: auto") from error


def choose_dtype(config: TrainConfig, device: torch.device) -> torch.dtype:
    """The configured precision; `auto` is bfloat16 where the device multiplies in it, else float32."""
    if config.dtype != "auto":
        return torch.bfloat16 if config.dtype == "bfloat16" else torch.float32
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
        fast = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    return torch.bfloat16 if fast else torch.float32


def compile_decoder(
    model: PreTrainedModel, config: TrainConfig, dtype: torch.dtype, progress: Progress
) -> None:
    """Compile the model without its head for the shape of a micro-batch; leave it where compiling fails.

    Compiling is tried at once, forward and backward, because torch compiles when a function first runs.
    """
    decoder: nn.Module = model.get_decoder()  # type: ignore[no-untyped-call]
    decoder.compile(dynamic=False)
    shape = (config.micro_batch_size or config.batch_size, config.sequence_length)
    progress.line("compiling the model")
    try:
        with autocast(model.device, dtype):
            hidden = decoder(
                input_ids=torch.zeros(shape, dtype=torch.long, device=model.device), use_cache=False
            )
        hidden.last_hidden_state.sum().backward()
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        progress.line(f"torch.compile failed ({reason}); training without it")
        decoder._compiled_call_impl = None
    model.zero_grad(set_to_none=True)


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """A context in which matrix products run in `dtype`; for forward passes only."""
    return torch.autocast(device.type, dtype, enabled=dtype is not torch.float32)


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Within the block, torch uses this many CPU threads (`None`: as many as before)."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
