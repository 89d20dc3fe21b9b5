"""PhoneLM: design, train and run the small language model that is fastest on a device."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phonelm.engine import Grammar, Model, load

try:
    __version__ = version("phonelm")
except PackageNotFoundError:
    __version__ = "0+unknown"

__all__ = ["Grammar", "Model", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import the runtime when it is first asked for, so that `import phonelm` stays instant."""
    if name in ("Grammar", "Model", "load"):
        from phonelm import engine

        return getattr(engine, name)
    raise AttributeError(f"module 'phonelm' has no attribute {name!r}")
