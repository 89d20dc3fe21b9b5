from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from phonelm.cli.chat.settings import Settings
from phonelm.engine import SamplingOptions


def defaults() -> Settings:
    options = {field.name: field.default for field in dataclasses.fields(SamplingOptions)}
    return Settings(options)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.7", 0.7),
        ("top-k", "40", 40),
        ("max_tokens", "none", None),
        ("seed", "7", 7),
        ("stop", "the end", ("the end",)),
        ("stop", '["a", "b"]', ("a", "b")),
        ("stop", "none", ()),
        ("context_overflow", "slide", "slide"),
        ("logit_bias", "5+1.5 7-inf 5-1", {5: 0.5, 7: -math.inf}),
        ("logit_bias", "none", None),
        ("dry_sequence_breakers", '["\\n"]', ("\n",)),
    ],
)
def test_options_are_set(name: str, text: str, value: Any) -> None:
    settings = defaults()
    settings.set(name, text)
    assert settings.options[name.replace("-", "_")] == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("temperature", "-1", "temperature is -1"),
        ("temperature", "warm", "give a number"),
        ("top_k", "1.5", "give a whole number"),
        ("top_p", "none", "give a number"),
        ("temprature", "1", "did you mean temperature"),
        ("frob", "1", "/set lists them"),
        ("stop", '["a"', "not valid JSON"),
        ("stop", '["a", 1]', "no text"),
        ("stop", '[""]', "stop text is empty"),
        ("logit_bias", "5", "not ID"),
        ("logit_bias", "5+warm", "not ID"),
        ("xtc_probability", "0.5", "temperature above 0"),
        ("context_overflow", "flow", "'stop' or 'slide'"),
    ],
)
def test_what_is_refused_changes_nothing(name: str, text: str, message: str) -> None:
    settings = defaults()
    before = dict(settings.options)
    with pytest.raises(ValueError, match=message):
        settings.set(name, text)
    assert settings.options == before


def test_every_option_is_listed_and_read_back_from_its_line() -> None:
    settings = defaults()
    settings.set("logit_bias", "5+0.5 7-inf")
    for line in settings.lines():
        name, text = line.split(maxsplit=1)
        before = settings.options[name]
        settings.set(name, text)
        assert settings.options[name] == before
    assert len(settings.lines()) == len(dataclasses.fields(SamplingOptions))
