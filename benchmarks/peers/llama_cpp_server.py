"""llama.cpp's server, run for one model, asked for greedy tokens."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from types import TracebackType

START_SECONDS = 120
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


class Server:
    """Starts on a free port of this machine alone; ends with the `with` block."""

    def __init__(self, command: Sequence[str]) -> None:
        options = ("-np", "1", "--host", "127.0.0.1", "--port", "0", "--no-ui", "--offline")
        self._process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def greedy_tokens(self, prompt: list[int], num_tokens: int) -> list[int]:
        """The most likely continuation; `RuntimeError` when the server ends or does not load the model."""
        request = {
            "prompt": prompt,
            "n_predict": num_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
            "return_tokens": True,
        }
        return _ask(f"{self._address()}/completion", request)

    def _address(self) -> str:
        """What it says it listens on; what it says afterwards is thrown away."""
        assert self._process.stdout is not None
        last = "no message"
        for line in self._process.stdout:
            if found := _ADDRESS.search(line):
                threading.Thread(target=self._process.stdout.read, daemon=True).start()
                return found.group()
            last = line.strip() or last
        raise RuntimeError(f"llama-server ended: {last}")

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()


def _ask(address: str, request: dict[str, object]) -> list[int]:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(address, json.dumps(request).encode()) as reply:
                tokens: list[int] = json.load(reply)["tokens"]
                return tokens
        except urllib.error.HTTPError as error:
            # 503 until the model is loaded.
            if error.code != 503 or time.monotonic() > end:
                raise RuntimeError(f"llama-server answers: {error}") from error
            time.sleep(0.2)
