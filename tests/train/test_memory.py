from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource
from contextlib import nullcontext
from pathlib import Path

import torch
from phonelm.train.memory import kept_memory

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

def faults(context):
    with context:
        for _ in range(3):
            torch.ones(16_000_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.ones(16_000_000)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, resident_mb()

outside = faults(nullcontext())
within = faults(kept_memory())
print(outside[0], within[0], outside[1], within[1], resident_mb())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="is about glibc")
def test_large_tensors_find_their_memory_again() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    faults_outside, faults_within, mb_outside, mb_within, mb_after = map(float, done.stdout.split())
    # The first ones within may need new memory.
    assert faults_within < faults_outside / 3
    assert mb_within > mb_outside + 50
    # What is free afterwards, the system has back.
    assert mb_after < mb_outside + 10
