from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
from contextlib import nullcontext
from phonelm.train.memory import kept_memory

def faults(context):
    with context:
        for _ in range(3):
            torch.ones(16_000_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.ones(16_000_000)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(nullcontext()), faults(kept_memory()), faults(nullcontext()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="is about glibc")
def test_large_tensors_find_their_memory_again() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, within, after = map(int, done.stdout.split())
    # The first one within may need new memory.
    assert within < before / 3
    assert after > before / 2
