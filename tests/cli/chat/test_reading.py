from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonelm.cli.chat.reading import QUOTES, Said, assemble


def typed(*lines: str) -> tuple[Callable[[str], str], list[str]]:
    left, prompts = list(lines), []

    def read(prompt: str) -> str:
        prompts.append(prompt)
        if not left:
            raise EOFError
        return left.pop(0)

    return read, prompts


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["  hello "], Said("hello")),
        (["a\\", "b\\", "c"], Said("a\nb\nc")),
        (["a\nb\nc"], Said("a\nb\nc")),
        ([f"{QUOTES}one{QUOTES}"], Said("one", True)),
        ([f"{QUOTES}", "  a", "", "/b \\", f"c{QUOTES} "], Said("  a\n\n/b \\\nc", True)),
        ([f"{QUOTES}a\nb\n{QUOTES}"], Said("a\nb", True)),
        ([f"/system {QUOTES}a", f"b{QUOTES}"], Said("/system a\nb")),
        ([f'say {QUOTES}x"'], Said(f'say {QUOTES}x"')),
    ],
)
def test_lines_become_one_text(lines: list[str], expected: Said) -> None:
    read, prompts = typed(*lines)
    assert assemble(read) == expected
    assert prompts == ["> ", *[". "] * (len(lines) - 1)]


@given(text=st.lists(st.text(st.characters(blacklist_characters='"\n\r\\')), min_size=1).map("\n".join))
def test_what_is_quoted_comes_out_as_it_went_in(text: str) -> None:
    read, _ = typed(*f"{QUOTES}\n{text}\n{QUOTES}".split("\n"))
    assert assemble(read) == Said(text.strip("\n"), True)


def test_the_end_within_a_text_is_the_end() -> None:
    for lines in (["a\\"], [QUOTES, "b"]):
        with pytest.raises(EOFError):
            assemble(typed(*lines)[0])
