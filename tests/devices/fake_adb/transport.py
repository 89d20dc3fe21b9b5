"""The device's end of adb's transport: messages, and the streams that they open.

After Android's packages/modules/adb/protocol.txt.
"""

from __future__ import annotations

import queue
import socket
import struct
import threading
from collections.abc import Callable

COMMANDS = ("CNXN", "AUTH", "OPEN", "OKAY", "WRTE", "CLSE")
VERSION, MAX_DATA = 0x01000001, 256 * 1024
TOKEN, SIGNATURE = 1, 2


class Stream:
    """One service's two directions. A write waits until the other side has taken the one before."""

    def __init__(self, transport: Transport, local: int, remote: int) -> None:
        self._transport, self.local, self.remote = transport, local, remote
        self.inbox: queue.Queue[bytes] = queue.Queue()
        self.may_write = threading.Semaphore(1)
        self._rest = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        for begin in range(0, len(data), MAX_DATA):
            self.may_write.acquire()
            if self.is_closed:
                raise ConnectionError
            self._transport.send("WRTE", self.local, self.remote, data[begin : begin + MAX_DATA])

    def read(self, size: int) -> bytes:
        """Exactly so many bytes. Raises `ConnectionError` when the stream ends before."""
        while len(self._rest) < size:
            part = self.inbox.get()
            if not part:
                raise ConnectionError
            self._rest += part
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def close(self) -> None:
        if not self.is_closed:
            self._transport.send("CLSE", self.local, self.remote)
        self.end()

    def end(self) -> None:
        """Wake whoever reads or writes."""
        self.is_closed = True
        self.inbox.put(b"")
        self.may_write.release()


class Transport:
    """One connection of an adb server."""

    def __init__(self, connection: socket.socket, banner: str, authorized: bool) -> None:
        self._socket, self._banner, self._authorized = connection, banner, authorized
        self._sending = threading.Lock()
        self._streams: dict[int, Stream] = {}

    def serve(self, start: Callable[[str, Stream], None]) -> None:
        """Answer messages until the connection ends; `start` begins a service on a stream."""
        try:
            while True:
                self._take(*self._receive(), start)
        except (OSError, struct.error):
            for stream in self._streams.values():
                stream.end()

    def send(self, command: str, first: int, second: int, data: bytes = b"") -> None:
        number = int.from_bytes(command.encode(), "little")
        header = struct.pack(
            "<6I", number, first, second, len(data), sum(data) & 0xFFFFFFFF, number ^ 0xFFFFFFFF
        )
        with self._sending:
            self._socket.sendall(header + data)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _receive(self) -> tuple[str, int, int, bytes]:
        number, first, second, size, _, _ = struct.unpack("<6I", self._exactly(24))
        return number.to_bytes(4, "little").decode(), first, second, self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def _take(
        self, command: str, remote: int, local: int, data: bytes, start: Callable[[str, Stream], None]
    ) -> None:
        assert command in COMMANDS, command
        if command == "CNXN" or (command == "AUTH" and remote == SIGNATURE):
            self._greet()
        elif command == "AUTH":
            pass  # our key: the phone asks its owner, who is not there
        elif command == "OPEN":
            stream = Stream(self, len(self._streams) + 1, remote)
            self._streams[stream.local] = stream
            self.send("OKAY", stream.local, remote)
            threading.Thread(target=start, args=(data.rstrip(b"\0").decode(), stream), daemon=True).start()
        elif known := self._streams.get(local):
            self._continue(known, command, data)

    def _greet(self) -> None:
        if self._authorized:
            self.send("CNXN", VERSION, MAX_DATA, self._banner.encode())
        else:
            self.send("AUTH", TOKEN, 0, b"\x01" * 20)

    def _continue(self, stream: Stream, command: str, data: bytes) -> None:
        if command == "WRTE":
            stream.inbox.put(data)
            self.send("OKAY", stream.local, stream.remote)
        elif command == "OKAY":
            stream.may_write.release()
        else:
            stream.end()
