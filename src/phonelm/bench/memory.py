"""Memory of this process."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_rss_bytes() -> int:
    """Return the most memory this process has held at once, in bytes (0 where the system does not tell).

    On Linux from `VmHWM`: `ru_maxrss` of a fresh process still counts the process it was started from.
    """
    return _status_bytes("VmHWM") or _usage_bytes()


def rss_bytes() -> int:
    """Return the memory this process holds now, in bytes; its peak where the system tells only that."""
    return _status_bytes("VmRSS") or _usage_bytes()


def _status_bytes(name: str) -> int:
    """A line of Linux's account of this process; 0 on other systems."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _usage_bytes() -> int:
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
