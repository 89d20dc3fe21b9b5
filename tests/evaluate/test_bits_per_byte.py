import math

import pytest

from phonelm.evaluate import bits_per_byte, perplexity


def test_a_uniform_byte_model_needs_eight_bits() -> None:
    assert bits_per_byte(100 * math.log(256), 100) == pytest.approx(8)


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary() -> None:
    assert perplexity(7 * math.log(49152), 7) == pytest.approx(49152)
    assert perplexity(1e9, 1) == math.inf


def test_empty_text_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        bits_per_byte(1.0, 0)
    with pytest.raises(ValueError, match="at least one predicted token"):
        perplexity(1.0, 0)
