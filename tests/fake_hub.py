"""A Hugging Face hub on this machine, as its API is documented, and the host of its files.

Faults are asked for by file: cut connections, stalls, other bytes, and statuses.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Fault:
    """What goes wrong with the bytes of a file, for the next requests."""

    kind: str  # "cut", "stall", "wrong", "no-ranges", "slow", "refused"
    after: int = 0
    times: int = 1


@dataclass
class FakeHub:
    """Repositories by name, each with its files; `refusals` are (status, X-Error-Code) by repository."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    asked_files: list[Asked] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    """Old names of repositories: asked for them, the hub redirects on its own host."""
    index: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Answers of a package index at `/simple/`, by the names of projects."""
    secret: str | None = None
    without_lfs: bool = False
    address: str = ""
    files_address: str = ""

    def ranges(self) -> list[str | None]:
        """The ranges that the host of the files was asked for."""
        return [asked.headers.get("range") for asked in self.asked_files]

    def listing(self, repo: str) -> dict[str, Any]:
        siblings = []
        for name, content in self.repositories[repo].items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(content)}
            entry["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            if not self.without_lfs:
                entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            siblings.append(entry)
        card = {"license": self.licences[repo]} if repo in self.licences else None
        return {"id": repo, "sha": COMMIT, "siblings": siblings, "tags": ["gguf"], "cardData": card}

    def take_fault(self, name: str) -> Fault | None:
        fault = self.faults.get(name)
        if fault is None or fault.times <= 0:
            return None
        fault.times -= 1
        return fault


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def _note(self) -> Asked:
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Asked(self.command, self.path, headers)

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Api(_Handler):
    def do_GET(self) -> None:
        self.hub.asked.append(self._note())
        listing = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/?]+)\?blobs=true", self.path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        project = re.fullmatch(r"/simple/([^/]+)/", self.path)
        if project and project[1] in self.hub.index:
            return self._answer(200, json.dumps(self.hub.index[project[1]]).encode())
        found = listing or file
        if found is None:
            return self._answer(404)
        repo = found[1]
        if repo in self.hub.renamed:
            return self._answer(307, Location=self.path.replace(repo, self.hub.renamed[repo], 1))
        if self._is_refused(repo):
            return None
        if listing and unquote(found[2]) not in ("main", "v1", "refs/pr/1", COMMIT):
            return self._answer(404, X_Error_Code="RevisionNotFound")
        if listing:
            return self._answer(200, json.dumps(self.hub.listing(repo)).encode())
        assert file is not None
        return self._redirect(repo, file[3])

    def _redirect(self, repo: str, name: str) -> None:
        content = self.hub.repositories[repo].get(unquote(name))
        if content is None:
            return self._answer(404, X_Error_Code="EntryNotFound")
        sha = hashlib.sha256(content).hexdigest()
        linked = {"X_Linked_Etag": f'"{sha}"', "X_Linked_Size": str(len(content))}
        return self._answer(302, Location=f"{self.hub.files_address}/{repo}/{name}?signed=1", **linked)

    def _is_refused(self, repo: str) -> bool:
        if repo in self.hub.refusals:
            status, code = self.hub.refusals[repo]
            headers = {"X_Error_Code": code} if code else {}
            self._answer(status, b"no", **headers, **({"Retry_After": "17"} if status == 429 else {}))
            return True
        if self.hub.secret and self.headers.get("Authorization") != f"Bearer {self.hub.secret}":
            self._answer(401, X_Error_Code="GatedRepo")
            return True
        if repo not in self.hub.repositories:
            self._answer(401, X_Error_Code="RepoNotFound")
            return True
        return False


class _Files(_Handler):
    def do_GET(self) -> None:
        self.hub.asked_files.append(self._note())
        owner, repository, name = unquote(self.path.partition("?")[0]).lstrip("/").split("/", 2)
        content = self.hub.repositories[f"{owner}/{repository}"][name]
        fault = self.hub.take_fault(name)
        if fault and fault.kind == "refused":
            return self._answer(403)
        if fault and fault.kind == "wrong":
            content = bytes(len(content))
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        begin = int(asked[1]) if asked and not (fault and fault.kind == "no-ranges") else 0
        body = content[begin : int(asked[2]) + 1 if asked and asked[2] else len(content)]
        self.send_response(206 if begin or (asked and asked[2]) else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"of-the-files-host"')
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self._send(body, fault)

    def _send(self, body: bytes, fault: Fault | None) -> None:
        if fault is None or fault.kind in ("wrong", "no-ranges"):
            self.wfile.write(body)
        elif fault.kind == "slow":
            for begin in range(0, len(body), 1000):
                self.wfile.write(body[begin : begin + 1000])
                time.sleep(0.02)
        else:
            self.wfile.write(body[: fault.after])
            self.wfile.flush()
            if fault.kind == "stall":
                time.sleep(1.5)
            self.close_connection = True


@contextlib.contextmanager
def running_hub() -> Iterator[FakeHub]:
    """Run a hub and the host of its files until the block ends."""
    hub = FakeHub()
    servers = [
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (kind,), {"hub": hub}))
        for kind in (_Api, _Files)
    ]
    hub.address, hub.files_address = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
