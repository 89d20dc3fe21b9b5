"""Import this module to teach transformers' Auto classes the model type `phonelm`, without remote code.

import phonelm.hf
model = AutoModelForCausalLM.from_pretrained("mllmTeam/PhoneLM-0.5B")
"""

from __future__ import annotations

try:
    from phonelm.train.auto import PhoneLMConfig, PhoneLMForCausalLM, PhoneLMModel
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'phonelm.hf needs {error.name}, which is not installed; run: pip install "phonelm[train]"',
        name=error.name,
    ) from None

__all__ = ["PhoneLMConfig", "PhoneLMForCausalLM", "PhoneLMModel"]
