"""Names of models of the hub: what is written is read back, and none leads out of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonelm.engine.hub.kept import place_of, repository_folder
from phonelm.engine.hub.reference import (
    Reference,
    check_path,
    looks_like_reference,
    parse_reference,
)
from phonelm.files import cache_folder

NAMES = st.from_regex(r"[A-Za-z0-9]{1,8}([._-][A-Za-z0-9]{1,8}){0,2}", fullmatch=True)
REVISIONS = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,4}){0,2}", fullmatch=True)
CHOICES = st.from_regex(
    r"([A-Za-z0-9]{1,6}/){0,2}[A-Za-z0-9][A-Za-z0-9._-]{0,8}[a-z0-9]", fullmatch=True
).filter(lambda text: ".." not in text)
REFERENCES = st.builds(Reference, NAMES, NAMES, st.none() | REVISIONS, st.none() | CHOICES)


@given(REFERENCES)
def test_what_is_written_is_read_back(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference
    assert parse_reference(f"hf.co/{reference}") == reference
    assert parse_reference(f"https://huggingface.co/{reference}") == reference


@given(st.text(alphabet="ab./@:\\-~ \n\0%é", max_size=24) | st.text(max_size=40))
def test_no_text_leads_out_of_the_folder(text: str) -> None:
    try:
        reference = parse_reference(text)
    except ValueError as refused:
        message = str(refused)
    else:
        message = ""
        _check_places(reference)
    assert "\n" not in message


def _check_places(reference: Reference) -> None:
    hub = (cache_folder() / "hub").resolve()
    folder = repository_folder(reference)
    assert folder.resolve().parent.parent == hub
    if reference.choice is not None:
        assert place_of(reference, reference.choice).resolve().is_relative_to(folder.resolve())


@given(st.text(alphabet="aB1._-/\\ :~\n\0\x1b\u202e", min_size=1, max_size=30))
def test_a_path_that_is_accepted_stays_below(path: str) -> None:
    try:
        check_path(path)
    except ValueError:
        return
    base = Path("/somewhere/here")
    assert (base / path).resolve().is_relative_to(base)
    assert path.isprintable()
    assert not any(part.startswith((".", "-", "~")) for part in path.split("/"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bartowski/X-GGUF", Reference("bartowski", "X-GGUF")),
        ("bartowski/X-GGUF:Q4_K_M", Reference("bartowski", "X-GGUF", None, "Q4_K_M")),
        ("o/r@v1:sub/file.gguf", Reference("o", "r", "v1", "sub/file.gguf")),
        ("o/r:file.gguf@v1", Reference("o", "r", "v1", "file.gguf")),
        ("https://huggingface.co/o/r", Reference("o", "r")),
        ("https://huggingface.co/o/r/tree/main", Reference("o", "r")),
        ("https://huggingface.co/o/r/blob/main/a.gguf", Reference("o", "r", None, "a.gguf")),
        (
            "https://huggingface.co/o/r/resolve/v1/s/a%20b.gguf?download=true",
            Reference("o", "r", "v1", "s/a b.gguf"),
        ),
    ],
)
def test_forms(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "a/b/c",
        "a/../b",
        "../b",
        "a/b:",
        "a/b@",
        "a/b:../c.gguf",
        "a/b:/etc/passwd",
        "/a/b",
        "a/b:x\\y",
        "https://example.com/a/b",
        "a/b@../x",
        "a/b:.hidden",
        "file:///etc/passwd",
        "a/b@x:y@z",
        "a--b/c",
        "a/b:c\x1b[0m",
    ],
)
def test_what_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"give|safe|fetch"):
        parse_reference(text)


def test_a_file_that_is_missing_here_is_not_taken_for_the_hub() -> None:
    assert not looks_like_reference("models/tiny.gguf")
    assert not looks_like_reference("./runs/nano")
    assert looks_like_reference("owner/repository")
    assert looks_like_reference("owner/repository:tiny.gguf")
