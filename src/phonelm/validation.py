"""One line for a wrong recipe: where, what, and the nearest right key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def explain(source: str, model: type[BaseModel], error: ValidationError) -> str:
    """Word the first problem of a document of `model` read from `source`.

    A misspelt key comes before the missing one that it leaves behind.
    """
    problems = error.errors()
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    place = ".".join(str(part) for part in first["loc"]) or "the whole"
    if first["type"] == "extra_forbidden":
        known = _keys(model, first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known there: {', '.join(known)}"
        return f"{source}: unknown key `{place}`; {hint}"
    if first["type"] == "missing":
        return f"{source}: the key `{place}` is missing; add it"
    return f"{source}: {place}: {message_of(first)}; correct it and run again"


def message_of(problem: Mapping[str, Any]) -> str:
    """What one of pydantic's errors says, without the prefix that it puts before our own words."""
    return str(problem["msg"]).removeprefix("Value error, ")


def _keys(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Fields of the section at `path`, whose numbers are places in lists of sections."""
    current: type[BaseModel] | None = model
    for part in (part for part in path if not isinstance(part, int)):
        field = current.model_fields.get(part) if current else None
        current = _section(field.annotation) if field else None
    return sorted(current.model_fields) if current else []


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model`, `Model | None` or `tuple[Model, ...]`."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
