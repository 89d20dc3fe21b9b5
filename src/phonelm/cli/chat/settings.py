"""The sampling options of a chat, which `/set` changes."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Callable, Mapping
from typing import Any

from phonelm.cli.options import parse_logit_bias
from phonelm.engine import SamplingOptions

_NOTHING = "none"


class Settings:
    """Options of `SamplingOptions` by name, valid at all times."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        SamplingOptions.from_keywords(options)
        self.options = dict(options)

    def set(self, name: str, text: str) -> None:
        """Change an option to what a text says. Raises `ValueError` for no option, and out of range."""
        name = name.replace("-", "_")
        if name not in self.options:
            near = difflib.get_close_matches(name, self.options, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else "/set lists them"
            raise ValueError(f"there is no option {name}; {hint}")
        changed = {**self.options, name: _reader(name)(name, text)}
        SamplingOptions.from_keywords(changed)
        self.options = changed

    def lines(self) -> list[str]:
        """Each option with its value, as `set` reads it."""
        width = max(map(len, self.options))
        return [f"{name:{width}}  {_shown(value)}" for name, value in self.options.items()]


def _reader(name: str) -> Callable[[str, str], Any]:
    default = next(field.default for field in dataclasses.fields(SamplingOptions) if field.name == name)
    if name == "context_overflow":
        return lambda _, text: text
    if name == "logit_bias":
        return _biases
    if isinstance(default, tuple):
        return _texts
    return _real if isinstance(default, float) else _whole


def _whole(name: str, text: str) -> int | None:
    if text.lower() == _NOTHING and name in ("seed", "max_tokens"):
        return None
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}; give a whole number") from None


def _real(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}; give a number") from None


def _biases(_name: str, text: str) -> dict[int, float] | None:
    return None if text.lower() == _NOTHING else parse_logit_bias(text.split())


def _texts(name: str, text: str) -> tuple[str, ...]:
    """A text, or several as a JSON list."""
    if not text.startswith("["):
        return () if text.lower() == _NOTHING else (text,)
    try:
        texts = json.loads(text)
    except ValueError as error:
        raise ValueError(f'{name} is not valid JSON ({error}); give ["text", "text"]') from None
    if not all(isinstance(one, str) for one in texts):
        raise ValueError(f'{name} has something that is no text; give ["text", "text"]')
    return tuple(texts)


def _shown(value: Any) -> str:
    if value is None or value == ():
        return _NOTHING
    if isinstance(value, dict):
        return " ".join(f"{token}{bias:+g}" for token, bias in value.items())
    return json.dumps(list(value), ensure_ascii=False) if isinstance(value, tuple) else str(value)
