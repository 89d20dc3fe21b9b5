"""From what a user names as adapters (GGUF files, peft folders, scales) to adapters over a loaded model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonelm.engine.conversions import converted
from phonelm.ranges import is_real

if TYPE_CHECKING:
    from phonelm import _native
    from phonelm.formats import AdapterBase

AdapterSource = str | Path | tuple[str | Path, float]
"""A GGUF adapter or a peft folder, alone or with a factor for what it adds."""
_MAX_SCALE = 1e6


def load_adapters(
    model: _native.Model, metadata: Mapping[str, Any], sources: Sequence[AdapterSource]
) -> _native.Adapters | None:
    """The adapters' sum over a model's matrices; None for none.

    Raises `ValueError` for what is no LoRA adapter, one of another model, a scale that is not finite, and
    what does not fit into memory; `FileNotFoundError` for nothing there.
    """
    from phonelm import _native

    if isinstance(sources, str | Path):
        raise ValueError(f"adapters is {str(sources)!r}; give a list of them")
    pairs = [_with_scale(source) for source in sources]
    named = [(str(_as_gguf(model, metadata, Path(path).expanduser())), scale) for path, scale in pairs]
    return _native.Adapters.load(model, named) if named else None


def parse_adapter(text: str) -> AdapterSource:
    """Read `PATH` or `PATH=SCALE`, as the command line takes them."""
    path, sign, scale = text.rpartition("=")
    if not sign or Path(text).expanduser().exists():
        return text
    try:
        return path, float(scale)
    except ValueError:
        raise ValueError(
            f"{text!r} is no adapter here; give PATH or PATH=SCALE, such as style.gguf=0.5"
        ) from None


def _with_scale(source: AdapterSource) -> tuple[str | Path, float]:
    path, scale = source if isinstance(source, tuple) else (source, 1.0)
    if not is_real(scale, -_MAX_SCALE, _MAX_SCALE):
        raise ValueError(
            f"the scale of adapter {path} is {scale}; give a number, such as 1.0, up to {_MAX_SCALE:g}"
        )
    return path, float(scale)


def _as_gguf(model: _native.Model, metadata: Mapping[str, Any], path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"no adapter at {path}; give a GGUF adapter or a folder that peft saved")
    return _converted(path, _base_of(model, metadata), _weight_type(model)) if path.is_dir() else path


def _base_of(model: _native.Model, metadata: Mapping[str, Any]) -> AdapterBase:
    from phonelm.formats import AdapterBase

    shapes = {name: tuple(shape[::-1]) for name, shape in model.tensor_shapes.items()}
    return AdapterBase.from_gguf(metadata, shapes)


def _weight_type(model: _native.Model) -> str:
    """Float32 over a model of float32; else half of it is read at each token, and nothing would show."""
    return "f32" if model.tensor_types.get("blk.0.attn_output.weight") == "F32" else "f16"


def _converted(folder: Path, base: AdapterBase, weight_type: str) -> Path:
    """The GGUF adapter of a peft folder for a model's shape."""
    from phonelm.formats import convert_adapter

    def convert(out: Path) -> None:
        convert_adapter(folder, base, out, weight_type)

    return converted(folder, "adapters", [base, weight_type], convert)
