"""What was typed in earlier chats, for the arrow keys: a file of one JSON string a line."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from phonelm.files import cache_folder, write_text

MOST_ENTRIES = 1000


class History:
    """The latest entries, the newest last. A file that cannot be read or written is as good as none."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or cache_folder() / "chat_history"
        self.entries = _read(self._path)
        if len(self.entries) > MOST_ENTRIES:
            self.entries = self.entries[-MOST_ENTRIES:]
            with contextlib.suppress(OSError):
                write_text(self._path, "".join(map(_line, self.entries)))

    def add(self, text: str) -> bool:
        """Keep an entry, unless it is the last one again; returns whether it is new."""
        if not text or self.entries[-1:] == [text]:
            return False
        self.entries.append(text)
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Questions are private; one write appends whole lines beside other chats'.
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(file, "w", encoding="ascii") as out:
                out.write(_line(text))
        return True


def _line(text: str) -> str:
    return json.dumps(text) + "\n"


def _read(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    entries = []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            entries.append(json.loads(line))
    return [entry for entry in entries if isinstance(entry, str)]
