from __future__ import annotations

import os
import subprocess
import sys

from phonelm.bench import peak_rss_bytes


def _peak_after(megabytes: int) -> int:
    code = (
        f"held = b'x' * ({megabytes} << 20); del held; "
        "from phonelm.bench import peak_rss_bytes; print(peak_rss_bytes())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return int(done.stdout)


def test_the_peak_outlives_the_memory() -> None:
    small, large = _peak_after(1), _peak_after(200)
    assert 190 << 20 < large < 400 << 20
    assert large - small > 100 << 20


def test_a_child_does_not_inherit_the_peak_of_its_parent() -> None:
    held = b"x" * (300 << 20)
    assert _peak_after(1) < peak_rss_bytes() - len(held) // 2
