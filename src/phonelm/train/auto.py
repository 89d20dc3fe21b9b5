"""Importing this teaches transformers' Auto classes the model type `phonelm`."""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from phonelm.train.configuration import PhoneLMConfig
from phonelm.train.model import PhoneLMForCausalLM, PhoneLMModel

__all__ = ["PhoneLMConfig", "PhoneLMForCausalLM", "PhoneLMModel"]

AutoConfig.register(PhoneLMConfig.model_type, PhoneLMConfig, exist_ok=True)
AutoModel.register(PhoneLMConfig, PhoneLMModel, exist_ok=True)
AutoModelForCausalLM.register(PhoneLMConfig, PhoneLMForCausalLM, exist_ok=True)
