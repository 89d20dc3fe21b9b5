"""Numbers in sentences, and texts of others made fit for a line."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """The number with its noun, in the plural but for 1: `1 token`, `1,024 tokens`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def sized(num_bytes: float) -> str:
    """Bytes in the largest unit that leaves a number above 1: `512 bytes`, `98.4 MB`, `1.23 GB`."""
    for unit, digits, scale in (("TB", 2, 1e12), ("GB", 2, 1e9), ("MB", 1, 1e6), ("kB", 1, 1e3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.{digits}f} {unit}"
    return f"{num_bytes:.0f} bytes"


def printable(text: str, most: int | None = None) -> str:
    """Escape what would not show as itself on one line, and cut after `most` characters.

    That are control characters, line ends, and characters that turn the direction of writing: a text out of
    a file must not steer the terminal that shows it. Backslashes stay, so this is for eyes, not for parsing.
    """
    cut = text if most is None or len(text) <= most else text[:most] + "..."
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in cut
    )
