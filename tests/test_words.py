from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonelm.words import printable, sized


@given(st.text())
def test_what_is_printable_stays_and_the_rest_is_escaped(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2J", "a\\x1b[2J"),
        ("a\nb", "a\\nb"),
        ("\u202eabc", "\\u202eabc"),
        ("\udc80", "\\udc80"),
        ("é字", "é字"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_long_text_is_cut() -> None:
    assert printable("abcdef", 3) == "abc..."
    assert printable("abc", 3) == "abc"


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (98_362_432, "98.4 MB"),
        (1.234e9, "1.23 GB"),
        (5e12, "5.00 TB"),
    ],
)
def test_sized(num_bytes: float, text: str) -> None:
    assert sized(num_bytes) == text
