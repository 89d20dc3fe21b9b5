"""Write unicode_tables.h: what each code point is to the pre-tokenizers.

Hugging Face's `tokenizers` itself is asked about each code point, so that its regex engine's version of
Unicode is the one used here.

    python native/tokenizer/make_unicode_tables.py && clang-format -i native/tokenizer/unicode_tables.h
"""

from __future__ import annotations

from functools import cache
from itertools import groupby
from pathlib import Path

import tokenizers
from tokenizers import Regex, pre_tokenizers

OTHER, LETTER, NUMBER, SPACE = range(4)
PUNCTUATION, DIGIT, UPPER, LOWER = 4, 8, 16, 32
NUM_CODE_POINTS = 0x110000
SURROGATES = range(0xD800, 0xE000)

HEADER = """\
// Classes of Unicode code points. Written by make_unicode_tables.py from what tokenizers {tokenizers} says
// of each: do not edit.
#pragma once

#include <cstdint>

namespace phonelm::unicode {{

// From `first` to the next range's first, all code points have these flags (see unicode.h).
struct Range {{
  uint32_t first : 24;
  uint32_t flags : 8;
}};

inline constexpr Range kRanges[] = {{
{rows}
}};

}}  // namespace phonelm::unicode
"""


@cache
def isolated(pattern: str) -> pre_tokenizers.Split:
    """A split that makes each match a piece of its own."""
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def regex_class(split: pre_tokenizers.ByteLevel, character: str) -> int:
    """The class whose run the GPT-2 regex lets the character join."""
    for neighbour, kind in (("a", LETTER), ("1", NUMBER), ("!", OTHER)):
        if len(split.pre_tokenize_str(neighbour + character)) == 1:
            return kind
    return SPACE


def flags(code_point: int) -> int:
    """Class of the GPT-2 regex in the low two bits, then the flags."""
    if code_point in SURROGATES:
        return OTHER
    character = chr(code_point)
    found = regex_class(GPT2, character)
    for flag, split, neighbour in (
        (PUNCTUATION, isolated(r"\p{P}"), "a"),
        (DIGIT, DIGITS, "a"),
        (UPPER, isolated(r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"), " "),
        (LOWER, isolated(r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"), " "),
    ):
        if len(split.pre_tokenize_str(neighbour + character)) == 2:
            found |= flag
    return found


def main() -> None:
    """Write the header beside this script."""
    runs = groupby(range(NUM_CODE_POINTS), key=flags)
    cells = [f"{{0x{next(run):X}, {kind}}}," for kind, run in runs]
    rows = [" ".join(cells[i : i + 6]) for i in range(0, len(cells), 6)]
    text = HEADER.format(tokenizers=tokenizers.__version__, rows="\n".join(f"    {row}" for row in rows))
    Path(__file__).with_name("unicode_tables.h").write_text(text, encoding="utf-8")
    print(f"{len(cells)} ranges")


GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
DIGITS = pre_tokenizers.Digits(individual_digits=True)

if __name__ == "__main__":
    main()
