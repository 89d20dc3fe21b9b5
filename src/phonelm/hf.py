"""Import this module to teach transformers' Auto classes the model type `phonelm`, without remote code.

import phonelm.hf
model = AutoModelForCausalLM.from_pretrained("mllmTeam/PhoneLM-0.5B")
"""

from __future__ import annotations

try:
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    from phonelm.train.configuration import PhoneLMConfig
    from phonelm.train.model import PhoneLMForCausalLM, PhoneLMModel
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'phonelm.hf needs {error.name}, which is not installed; run: pip install "phonelm[train]"',
        name=error.name,
    ) from None

__all__ = ["PhoneLMConfig", "PhoneLMForCausalLM", "PhoneLMModel"]

AutoConfig.register(PhoneLMConfig.model_type, PhoneLMConfig, exist_ok=True)
AutoModel.register(PhoneLMConfig, PhoneLMModel, exist_ok=True)
AutoModelForCausalLM.register(PhoneLMConfig, PhoneLMForCausalLM, exist_ok=True)
