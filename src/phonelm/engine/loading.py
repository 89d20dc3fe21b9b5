"""From what a user names (a file, a folder, a known model) to a loaded model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from phonelm.engine.conversions import converted
from phonelm.engine.file_warnings import warn_of_guesses
from phonelm.engine.hub.kept import find_kept
from phonelm.engine.hub.reference import looks_like_reference, parse_reference
from phonelm.engine.model import Model, ModelOptions
from phonelm.engine.store import KNOWN, find, local_path
from phonelm.engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack


def load(model: str | Path, **options: Unpack[ModelOptions]) -> Model:
    """Load a GGUF file, a run folder, a Hugging Face folder or a known name.

    Options as in `Model`. Raises `FileNotFoundError` for a name that is nothing here, `ValueError` for the
    folder of an adapter and as `Model` does.
    """
    return Model(resolve(model), **options)


def load_tokenizer(model: str | Path) -> Tokenizer:
    """Return the tokenizer of a model, which is named as for `load`, without reading its weights.

    Raises `FileNotFoundError` as `load`, `ValueError` for a file whose tokenizer this runtime does not know.
    """
    from phonelm import _native

    path = resolve(model)
    metadata = _native.read_metadata(str(path))
    warn_of_guesses(path, metadata)
    return Tokenizer(_native.Tokenizer.from_gguf(str(path)), metadata)


def resolve(model: str | Path) -> Path:
    """Return the GGUF file of a path, a known name or a reference to the hub; converts a folder once."""
    path = Path(model).expanduser()
    if path.is_dir():
        return _in_folder(path)
    if path.exists():
        return path
    return _by_name(str(model))


def _by_name(name: str) -> Path:
    known = find(name)
    if known is None and looks_like_reference(name):
        return _from_hub(name)
    if known is None:
        names = ", ".join(sorted(KNOWN))
        raise FileNotFoundError(
            f"no model at {name}; give a .gguf file, a run folder, a Hugging Face folder, "
            f"a known name ({names}) or a file of the hub that was pulled (owner/repository:file)"
        )
    path = local_path(known)
    if path is None:
        raise FileNotFoundError(f"{known.name} is not on this machine yet; run: phonelm pull {known.name}")
    return path


def _from_hub(name: str) -> Path:
    """A file that `phonelm pull` has fetched; nothing is fetched here."""
    kept = find_kept(parse_reference(name))
    if kept is None:
        raise FileNotFoundError(
            f"no model at {name}, and none of the hub has been fetched by that name; run: phonelm pull {name}"
        )
    return kept.files[0]


def _in_folder(folder: Path) -> Path:
    if (folder / "model.gguf").is_file():
        return folder / "model.gguf"
    if (folder / "config.json").is_file():
        return _converted(folder)
    if (folder / "adapter_config.json").is_file():
        raise ValueError(
            f"{folder} is an adapter that peft saved, not a model; load the model that it was made for, and "
            "give this folder as its adapter (--lora, or adapters=[...] in Python)"
        )
    raise FileNotFoundError(
        f"{folder} holds neither model.gguf (a run that reached its quantize stage) nor config.json "
        "(a Hugging Face folder); name the folder that does"
    )


def _converted(folder: Path) -> Path:
    """GGUF of a Hugging Face folder, in f16: the common type that is nearest to the checkpoint."""
    from phonelm.formats import convert_checkpoint

    return converted(folder, "converted", None, partial(convert_checkpoint, folder, block_type="f16"))
