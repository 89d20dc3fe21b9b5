"""PhoneLM: design, train and run the small language model that is fastest on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phonelm.engine import Grammar, Model, load

    __version__: str

__all__ = ["Grammar", "Model", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import the runtime or find the version when first asked, so that `import phonelm` stays instant."""
    if name == "__version__":
        from phonelm.version import package_version

        return package_version()
    if name in ("Grammar", "Model", "load"):
        from phonelm import engine

        return getattr(engine, name)
    raise AttributeError(f"module 'phonelm' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is imported when first asked for is here too."""
    return sorted({*globals(), *__all__})
