"""The version of the installed package."""

from __future__ import annotations


def package_version() -> str:
    """Of the installed package; `0+unknown` where it is not installed."""
    # It takes a fifth of the start of a short command, and most of them never ask.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("phonelm")
    except PackageNotFoundError:
        return "0+unknown"
