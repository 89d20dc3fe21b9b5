"""Renders a template of this folder into a page that needs nothing else."""

from __future__ import annotations

from typing import Any


def render(template: str, content: dict[str, Any]) -> str:
    """The page as text; whatever `content` leaves out is an error, whatever it holds is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("phonelm", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=_count, seconds=_seconds, number=_number, milliseconds=_milliseconds)
    return environment.get_template(template).render(content)


def _count(value: float) -> str:
    """A large number in thousands, millions or billions: 4.72M."""
    for size, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:,.0f}"


def _seconds(value: float) -> str:
    """A duration: 0.4 s, 12 s, 4 min 31 s."""
    if value < 10:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def _number(value: float, digits: int = 0) -> str:
    """A number with thousands marked."""
    return f"{value:,.{digits}f}"


def _milliseconds(value: float) -> str:
    """Three digits at most after the point, as many as tell something: 0.372 ms, 1.05 ms, 41.5 ms, 212 ms."""
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f} ms"
