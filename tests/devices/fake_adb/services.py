"""What an adb stream can ask for: a line of shell (protocol v2), and files to and fro (sync, v1)."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from transport import Stream

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)


def serve_shell(stream: Stream, command: list[str], on_output: Callable[[bytes], None]) -> int:
    """Run a command; `on_output` sees what it prints. Returns the exit code."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    threading.Thread(target=_feed, args=(stream, process), daemon=True).start()
    errors = threading.Thread(target=_forward, args=(stream, process.stderr, STDERR, lambda _: None))
    errors.start()
    try:
        _forward(stream, process.stdout, STDOUT, on_output)
        errors.join()
        code = process.wait()
        stream.write(_packet(EXIT, bytes([code if code >= 0 else 128 - code])))
        stream.close()
    finally:
        process.kill()
        process.wait()
    return code


def _packet(kind: int, data: bytes) -> bytes:
    return struct.pack("<BI", kind, len(data)) + data


def _forward(stream: Stream, source: object, kind: int, on_output: Callable[[bytes], None]) -> None:
    while data := os.read(source.fileno(), 1 << 16):  # type: ignore[attr-defined]
        on_output(data)
        try:
            stream.write(_packet(kind, data))
        except OSError:
            return


def _feed(stream: Stream, process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    try:
        while True:
            kind, size = struct.unpack("<BI", stream.read(5))
            data = stream.read(size)
            if kind == CLOSE_STDIN:
                break
            if kind == STDIN:
                process.stdin.write(data)
    except OSError:
        process.terminate()  # Android hangs up on what a shell that has gone was running
    process.stdin.close()


def serve_sync(
    stream: Stream, place: Callable[[str], Path], store: Callable[[Path, bytes, int], str]
) -> None:
    """Files: `place` gives the path here of one there, `store` keeps a pushed one or says why it cannot."""
    while True:
        kind, size = struct.unpack("<4sI", stream.read(8))
        name = stream.read(size).decode()
        if kind == b"STAT":
            stream.write(b"STAT" + struct.pack("<3I", *_status(place(name))))
        elif kind == b"SEND":
            path, _, mode = name.rpartition(",")
            problem = store(place(path), _pushed(stream), int(mode)).encode()
            answer = b"FAIL" if problem else b"OKAY"
            stream.write(answer + struct.pack("<I", len(problem)) + problem)
        else:
            assert kind == b"QUIT", kind
            return


def _status(path: Path) -> tuple[int, int, int]:
    try:
        status = path.lstat()
    except OSError:
        return 0, 0, 0
    return stat.S_IFMT(status.st_mode) | 0o777, status.st_size & 0xFFFFFFFF, int(status.st_mtime)


def _pushed(stream: Stream) -> bytes:
    content = b""
    while True:
        kind, size = struct.unpack("<4sI", stream.read(8))
        if kind == b"DONE":
            return content
        assert kind == b"DATA", kind
        content += stream.read(size)
