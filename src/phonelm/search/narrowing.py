"""Keeps some dimensions of a space at one value: `--keep layers=24`."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np

from phonelm.search.shapes import Shapes
from phonelm.search.space_config import Range, SpaceConfig

IN_SPACE = ("vocab", "types", "hidden", "layers", "head_dim", "kv_groups", "ffn", "tied")
"""Dimensions the space names itself."""
FOLLOWING = ("heads", "kv_heads", "intermediate")
"""Dimensions that follow from the others; shapes that have another value are left out."""


def narrowed(space: SpaceConfig, keep: dict[str, Any]) -> SpaceConfig:
    """The space with the kept dimensions at their one value.

    Raises `ValueError` for an unknown dimension and for a value outside the space, naming the nearest.
    """
    changes: dict[str, Any] = {}
    for name, text in keep.items():
        if name in FOLLOWING:
            _integer(name, text)
        elif name in IN_SPACE:
            changes[name] = _one(name, getattr(space, name), text)
        else:
            known = (*IN_SPACE, *FOLLOWING)
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise ValueError(f"no dimension of the space is called {name!r}; {hint}")
    return SpaceConfig.model_validate({**space.model_dump(), **changes})


def kept(shapes: Shapes, keep: dict[str, Any]) -> Shapes:
    """The shapes that have the kept values of the dimensions that follow from others.

    Raises `ValueError` naming the nearest values when none is left.
    """
    for name in FOLLOWING:
        if name in keep:
            wanted, values = _integer(name, keep[name]), getattr(shapes, name)
            if not (values == wanted).any():
                there = np.unique(values)
                near = sorted(there[np.argsort(np.abs(there - wanted), kind="stable")[:3]].tolist())
                raise ValueError(
                    f"keep {name}={wanted}: no shape of this budget has it; the nearest have "
                    f"{', '.join(map(str, near))}: keep one of these or widen the space"
                )
            shapes = shapes.take(values == wanted)
    return shapes


def _one(name: str, allowed: Any, text: Any) -> Any:
    """The value as the space's field takes it."""
    if isinstance(allowed, Range):
        value = _integer(name, text)
        if value not in allowed.values():
            raise ValueError(_outside(name, value, f"{allowed.min} to {allowed.max} by {allowed.step}"))
        return {"min": value, "max": value, "step": allowed.step}
    values = {_spelling(value): value for value in allowed}
    if _spelling(text) not in values:
        raise ValueError(_outside(name, text, ", ".join(values)))
    return [values[_spelling(text)]]


def _outside(name: str, value: Any, allowed: str) -> str:
    own = "; for a tokenizer of your own: --vocab" if name == "vocab" else ""
    return f"keep {name}={value}: outside the space ({allowed}); keep a value in it or widen the space{own}"


def _spelling(value: Any) -> str:
    return str(value).strip().lower()


def _integer(name: str, text: Any) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"keep {name}={text}: {text!r} is not a whole number; write {name}=16") from None
