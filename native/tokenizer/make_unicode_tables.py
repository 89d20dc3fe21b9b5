"""Write unicode_tables.h (what each code point is to the pre-tokenizers) and normalization_tables.h.

Hugging Face's `tokenizers` itself is asked about each code point, so that its regex engine's version of
Unicode is the one used here.

    python native/tokenizer/make_unicode_tables.py && clang-format -i native/tokenizer/*_tables.h
"""

from __future__ import annotations

from functools import cache
from itertools import groupby
from pathlib import Path
from unicodedata import combining as newest_combining
from unicodedata import decomposition

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

OTHER, LETTER, NUMBER, SPACE = range(4)
PUNCTUATION, DIGIT, UPPER, LOWER, NOT_ALWAYS_NFC = 4, 8, 16, 32, 64
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


NORMALIZATION = """\
// Canonical decompositions and compositions of Unicode. Written by make_unicode_tables.py: do not edit.
#pragma once

#include <array>
#include <cstdint>

namespace phonelm::unicode {{

// Whole, down to what decomposes no further; 0 fills up.
struct Decomposition {{
  char32_t from;
  std::array<char32_t, 4> to;
}};
inline constexpr Decomposition kDecompositions[] = {{
{decompositions}
}};

struct Composition {{
  char32_t first;
  char32_t second;
  char32_t both;
}};
inline constexpr Composition kCompositions[] = {{
{compositions}
}};

// From `first` to the next range's first, all code points have this canonical combining class.
struct ClassRange {{
  uint32_t first : 24;
  uint32_t combining_class : 8;
}};
inline constexpr ClassRange kCombiningClasses[] = {{
{classes}
}};

}}  // namespace phonelm::unicode
"""


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
    if code_point in SECONDS or combining(character) or NFC.normalize_str(character) != character:
        found |= NOT_ALWAYS_NFC
    return found


def combining(character: str) -> int:
    """The combining class, 0 for marks that are younger than the normalizer's version of Unicode."""
    last = "\u0345"  # of the highest class, so that all others are put before it
    is_known = character == last or NFD.normalize_str(last + character) != last + character
    return newest_combining(character) if is_known else 0


def code_points() -> list[int]:
    """All that are characters by themselves."""
    return [point for point in range(NUM_CODE_POINTS) if point not in SURROGATES]


def compositions() -> list[tuple[int, int, int]]:
    """Two code points and the one that NFC makes of them; the syllables of Hangul are arithmetic."""
    found = []
    for point in code_points():
        parts = decomposition(chr(point)).split()
        if len(parts) != 2 or parts[0].startswith("<"):  # the latter is a compatibility mapping
            continue
        first, second = (int(part, 16) for part in parts)
        if NFC.normalize_str(chr(first) + chr(second)) == chr(point):
            found.append((first, second, point))
    return sorted(found)


def write_header(name: str, text: str) -> None:
    """Write one of the headers beside this script."""
    Path(__file__).with_name(name).write_text(text, encoding="utf-8")


def write_classes() -> None:
    """Write unicode_tables.h."""
    runs = groupby(range(NUM_CODE_POINTS), key=flags)
    cells = [f"{{0x{next(run):X}, {kind}}}," for kind, run in runs]
    rows = [" ".join(cells[i : i + 6]) for i in range(0, len(cells), 6)]
    text = HEADER.format(tokenizers=tokenizers.__version__, rows="\n".join(f"    {row}" for row in rows))
    write_header("unicode_tables.h", text)


def write_normalization() -> None:
    """Write normalization_tables.h."""
    parts = {point: NFD.normalize_str(chr(point)) for point in code_points() if point not in HANGUL}
    whole = [
        f"{{0x{point:X}, {{{', '.join(f'0x{ord(c):X}' for c in text)}}}}},"
        for point, text in parts.items()
        if text != chr(point)
    ]
    pairs = [f"{{0x{first:X}, 0x{second:X}, 0x{both:X}}}," for first, second, both in compositions()]
    runs = groupby(
        range(NUM_CODE_POINTS), key=lambda point: 0 if point in SURROGATES else combining(chr(point))
    )
    classes = [f"{{0x{next(run):X}, {kind}}}," for kind, run in runs]
    blocks = {"decompositions": whole, "compositions": pairs, "classes": classes}
    write_header(
        "normalization_tables.h",
        NORMALIZATION.format(**{name: "\n".join(rows) for name, rows in blocks.items()}),
    )


def main() -> None:
    """Write the headers beside this script."""
    write_classes()
    write_normalization()


NFC, NFD = normalizers.NFC(), normalizers.NFD()
HANGUL = range(0xAC00, 0xD7A4)
# What NFC may join to what is before it: the second of each pair, and the vowels and finals of Hangul.
SECONDS = {second for _, second, _ in compositions()} | {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
DIGITS = pre_tokenizers.Digits(individual_digits=True)

if __name__ == "__main__":
    main()
