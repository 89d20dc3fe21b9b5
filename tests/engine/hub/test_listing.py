"""Which model of a repository is meant, by names as repositories have them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fake_hub import FakeHub
from phonelm.engine.hub.errors import FetchError
from phonelm.engine.hub.listing import choose, read_listing, weight_type
from phonelm.engine.hub.reference import parse_reference


@dataclass(frozen=True)
class Named:
    path: str


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("gemma-3-270m-it-UD-IQ2_XXS.gguf", "IQ2_XXS"),
        ("Q8_0/big-Q8_0-00001-of-00003.gguf", "Q8_0"),
        ("Qwen3-0.6B-f16.gguf", "F16"),
        ("Qwen3-0.6B-BF16.gguf", "BF16"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("model_q4_0.gguf", "Q4_0"),
        ("bitnet-TQ2_0.gguf", "TQ2_0"),
        ("model.gguf", None),
    ],
)
def test_the_type_of_weights_is_read_from_the_name(path: str, expected: str | None) -> None:
    assert weight_type(path) == expected


MODELS = [
    Named(path)
    for path in (
        "X-Q4_K_M.gguf",
        "X-Q4_K_S.gguf",
        "X-Q8_0.gguf",
        "mmproj-X-f16.gguf",
        "big/X-F16-00001-of-00002.gguf",
    )
]


@pytest.mark.parametrize(
    ("choice", "path"),
    [
        (None, "X-Q4_K_M.gguf"),
        ("q8_0", "X-Q8_0.gguf"),
        ("Q4_K_S", "X-Q4_K_S.gguf"),
        ("X-Q8_0.gguf", "X-Q8_0.gguf"),
        ("x-q8_0", "X-Q8_0.gguf"),
        ("F16", "big/X-F16-00001-of-00002.gguf"),
        ("X-F16-00002-of-00002.gguf", "big/X-F16-00001-of-00002.gguf"),
        ("big/X-F16.gguf", "big/X-F16-00001-of-00002.gguf"),
        ("mmproj-X-f16.gguf", "mmproj-X-f16.gguf"),
    ],
)
def test_the_model_that_is_meant(choice: str | None, path: str) -> None:
    reference = parse_reference("o/r").with_choice(choice)
    model, is_ours = choose(MODELS, reference)
    assert model.path == path
    assert is_ours == (choice is None)


def test_what_is_not_there_or_not_clear_lists_what_is() -> None:
    with pytest.raises(ValueError, match=r"o/r:Q4 is not there; there are X-Q4_K_M\.gguf, X-Q4_K_S"):
        choose(MODELS, parse_reference("o/r:Q4"))
    two = [Named("a-Q8_0.gguf"), Named("b-Q8_0.gguf")]
    with pytest.raises(ValueError, match=r"names several models: a-Q8_0\.gguf, b-Q8_0\.gguf"):
        choose(two, parse_reference("o/r:Q8_0"))
    with pytest.raises(ValueError, match="has several models"):
        choose(two, parse_reference("o/r"))


def test_an_only_model_needs_no_choice() -> None:
    assert choose([Named("x-Q2_K.gguf")], parse_reference("o/r")) == (Named("x-Q2_K.gguf"), False)


def test_parts_are_one_model_and_hostile_names_are_not_offered(hub: FakeHub) -> None:
    hub.repositories["o/r"] = {
        "README.md": b"no model",
        "a-00001-of-00002.gguf": b"1",
        "a-00002-of-00002.gguf": b"22",
        "b-00001-of-00002.gguf": b"1",
        "../../evil.gguf": b"x",
        "/etc/evil.gguf": b"x",
        "c\x1b[31m.gguf": b"x",
        ".hidden.gguf": b"x",
        "sub/..\\evil.gguf": b"x",
    }
    hub.licences["o/r"] = "apache-2.0"
    listing = read_listing(parse_reference("o/r"))
    assert [(model.path, model.size_bytes) for model in listing.models] == [("a-00001-of-00002.gguf", 3)]
    assert len(listing.skipped) == 6
    assert all(text.isprintable() for text in listing.skipped)
    assert listing.licence == "apache-2.0"


@pytest.mark.parametrize(
    "answer", ["[]", "{}", '{"sha": 1, "siblings": []}', '{"siblings": [1]}', "nonsense"]
)
def test_an_answer_that_is_none_is_one_line(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    import json

    hub.repositories["o/r"] = {}
    real = json.dumps
    monkeypatch.setattr(
        "fake_hub.json.dumps", lambda document: answer if "siblings" in document else real(document)
    )
    with pytest.raises(FetchError, match="check HF_ENDPOINT"):
        read_listing(parse_reference("o/r"))
