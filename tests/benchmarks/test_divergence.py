"""What the benchmark against llama-perplexity reads of its output, and the windows it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from phonelm.engine import load

OUTPUT = """
Mean PPL(Q)                   :  15.910706 ±   1.112119
Mean PPL(base)                :  15.666992 ±   1.079372
Cor(ln(PPL(Q)), ln(PPL(base))):  99.86%
Mean ln(PPL(Q)/PPL(base))     :   0.015436 ±   0.003721
Mean PPL(Q)/PPL(base)         :   1.015556 ±   0.003779
Mean PPL(Q)-PPL(base)         :   0.243714 ±   0.066612

====== KL divergence statistics ======
Mean    KLD:   0.004673 ±   0.000095
Maximum KLD:   0.048793
99.9%   KLD:   0.038124
99.0%   KLD:   0.020049
95.0%   KLD:   0.012345
Median  KLD:   0.003814
1.0%    KLD:   0.000012
Minimum KLD:  -0.000002

====== Token probability statistics ======
Mean    Δp: -0.017 ± 0.036 %
Same top p: 95.392 ± 0.464 %
"""


def test_figures_of_the_output() -> None:
    from divergence import figures

    assert figures(OUTPUT) == {
        "perplexity": 15.910706,
        "perplexity_ratio": 1.015556,
        "kl_mean": 0.004673,
        "kl_median": 0.003814,
        "kl_p99": 0.020049,
        "kl_max": 0.048793,
        "top1_agreement": pytest.approx(0.95392),
    }
    with pytest.raises(ValueError, match="printed no kl_mean"):
        figures(OUTPUT.replace("Mean    KLD", "Mean"))


def test_windows_are_disjoint_and_score_their_second_half(tiny_gguf: Path) -> None:
    from divergence import chunks

    with load(tiny_gguf) as model:
        windows = chunks(model, "abcdefghijklmnopqrstu", 8, 5)
        texts = [model.tokenizer.decode(window.tokens) for window in windows]
    assert texts == ["abcdefgh", "ijklmnop"]
    assert [window.num_scored for window in windows] == [3, 3]
