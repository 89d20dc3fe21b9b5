"""From what a user names (a file, a folder, a known model) to a loaded model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from phonelm.engine.adapters import AdapterSource
from phonelm.engine.model import Model
from phonelm.engine.store import KNOWN, find, local_path
from phonelm.files import cache_folder, file_states, fingerprint
from phonelm.version import package_version


def load(
    model: str | Path,
    *,
    num_threads: int | None = None,
    isa: str | None = None,
    context_length: int | None = None,
    sparse_ffn: bool = True,
    adapters: Sequence[AdapterSource] = (),
    kv_type: str = "f16",
    idle_sessions: int = 4,
) -> Model:
    """Load a GGUF file, a run folder, a Hugging Face folder or a known name.

    `num_threads` None takes as many as a short measurement finds fastest, for one token and for a batch apart
    (`Model.native.decode_threads`, `prefill_threads`), `isa` None the fastest this machine has,
    `context_length` None the model's own; `sparse_ffn` False reads all neurons of a ReLU model at decode,
    dead ones too; `adapters` as in `Model.set_adapters`; `kv_type` "q8_0" keeps keys and values in half the
    memory of "f16"; `idle_sessions` of earlier texts are kept to start from. Raises `FileNotFoundError` for
    a name that is nothing here, `ValueError` as `Model` does.
    """
    return Model(
        resolve(model),
        num_threads=num_threads,
        isa=isa,
        context_length=context_length,
        sparse_ffn=sparse_ffn,
        adapters=adapters,
        kv_type=kv_type,
        idle_sessions=idle_sessions,
    )


def resolve(model: str | Path) -> Path:
    """Return the GGUF file that a path or a known name stands for; converts a Hugging Face folder once."""
    path = Path(model).expanduser()
    if path.is_dir():
        return _in_folder(path)
    if path.exists():
        return path
    return _by_name(str(model))


def _by_name(name: str) -> Path:
    known = find(name)
    if known is None:
        names = ", ".join(sorted(KNOWN))
        raise FileNotFoundError(
            f"no model at {name}; give a .gguf file, a run folder, a Hugging Face folder "
            f"or a known name ({names})"
        )
    path = local_path(known)
    if path is None:
        raise FileNotFoundError(f"{known.name} is not on this machine yet; run: phonelm pull {known.name}")
    return path


def _in_folder(folder: Path) -> Path:
    if (folder / "model.gguf").is_file():
        return folder / "model.gguf"
    if (folder / "config.json").is_file():
        return _converted(folder)
    raise FileNotFoundError(
        f"{folder} holds neither model.gguf (a run that reached its quantize stage) nor config.json "
        "(a Hugging Face folder); name the folder that does"
    )


def _converted(folder: Path) -> Path:
    """GGUF of a Hugging Face folder, in f16: the common type that is nearest to the checkpoint."""
    from phonelm.formats import convert_checkpoint

    place = fingerprint(str(folder.resolve()))[:8]
    state = fingerprint([package_version(), *file_states(folder)])
    out = cache_folder() / "converted" / f"{folder.resolve().name}-{place}-{state}.gguf"
    if not out.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        convert_checkpoint(folder, out, block_type="f16")
        for stale in out.parent.glob(f"*-{place}-*.gguf"):
            if stale != out:
                stale.unlink(missing_ok=True)
    return out
