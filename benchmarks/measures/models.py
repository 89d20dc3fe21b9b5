"""The files that are measured: real weights in two types, and the shapes of the PhoneLM family.

Files that are made here are made once, in the cache folder. The shapes have random weights and gated SiLU, so
that other runtimes can read them too, and the tokenizer of SmolLM2, whose vocabulary has their size.
Embeddings (and heads, which are tied to them) are Q8_0: llama.cpp's own Q4_0 files have Q6_K there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REAL = "smollm2-135m-instruct"
TWIN = f"{REAL}-q4_0"
SHAPES = {"phonelm-0.5b-shape": "phonelm-0.5b", "phonelm-1.5b-shape": "phonelm-1.5b"}
DEFAULT = (TWIN, *SHAPES)

_FILE_TYPE_Q4_0 = 2  # llama.cpp's `enum llama_ftype`


def find(model: str) -> Path:
    """The GGUF file of a model: one of this benchmark's names, a known name (fetched when absent) or a path.

    Raises `OSError` and `ValueError` as fetching and resolving do.
    """
    if model == TWIN:
        return _made(model, _write_twin)
    if model in SHAPES:
        return _made(model, lambda path: _write_shape(path, SHAPES[model]))
    return _known(model)


def is_random(model: str) -> bool:
    """Whether the weights are random, so that the text is nonsense."""
    return model in SHAPES


def vocab_size(path: Path) -> int:
    """Number of tokens a file knows."""
    from phonelm import _native

    return _native.Tokenizer.from_gguf(str(path)).vocab_size


def relu_file(dead_fraction: float) -> Path:
    """PhoneLM-1.5B's own decoder (gated ReLU, int8 rotary table) with random weights and dead neurons."""
    from phonelm.arch.presets import preset
    from phonelm.formats import write_random_gguf

    def write(path: Path) -> None:
        write_random_gguf(path, preset("phonelm-1.5b"), "q4_0", dead_fraction=dead_fraction)

    return _made(f"phonelm-1.5b-relu-{dead_fraction:g}-dead", write)


def _known(model: str) -> Path:
    from phonelm.engine import resolve, store
    from phonelm.progress import TerminalProgress

    return Path(store.pull(model, TerminalProgress()) if store.find(model) else resolve(model))


def _made(name: str, write: Any) -> Path:
    from phonelm.files import cache_folder

    path = cache_folder() / "benchmarks" / f"{name}.gguf"
    if not path.is_file():
        print(f"writing {path} (once)", file=sys.stderr)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    return path


def _write_twin(path: Path) -> None:
    _rewrite(_known(REAL), path, {"general.file_type": _FILE_TYPE_Q4_0}, {"Q4_1": "Q4_0"})


def _write_shape(path: Path, preset_name: str) -> None:
    """A random file of the shape, with the real tokenizer: OpenVINO GenAI cannot do without merges."""
    from phonelm.arch.presets import preset
    from phonelm.files import temporary_folder
    from phonelm.formats import write_random_gguf

    config = preset(preset_name).model_copy(update={"activation": "silu", "rope_table": "float"})
    tokenizer = {key: value for key, value in _metadata(_known(REAL)).items() if key.startswith("tokenizer.")}
    with temporary_folder() as folder:
        plain = Path(folder) / "plain.gguf"
        write_random_gguf(plain, config, "q4_0", "q8_0")
        _rewrite(plain, path, {"general.file_type": _FILE_TYPE_Q4_0, **tokenizer}, {})


def _rewrite(source: Path, path: Path, metadata: Mapping[str, Any], new_types: Mapping[str, str]) -> None:
    """Copy a GGUF file with some metadata replaced and tensors of some types quantized to others."""
    import gguf

    from phonelm.formats.gguf_writer import LazyTensor, write_gguf

    def lazy(tensor: Any) -> LazyTensor:
        old = tensor.tensor_type.name
        new = new_types.get(old, old)
        shape = tuple(int(size) for size in reversed(tensor.shape))
        return LazyTensor(new, shape, lambda: _bytes(tensor, old, new))

    tensors = ((tensor.name, lazy(tensor)) for tensor in gguf.GGUFReader(source).tensors)
    write_gguf(path, {**_metadata(source), **metadata}, tensors)


def _bytes(tensor: Any, old: str, new: str) -> Any:
    import numpy as np

    from phonelm.formats.quantization import dequantize, quantize

    if new != old:
        return quantize(dequantize(tensor.data, old), new)
    return np.ascontiguousarray(tensor.data).view(np.uint8)


def _metadata(path: Path) -> dict[str, Any]:
    import gguf

    fields = gguf.GGUFReader(path).fields
    return {key: field.contents() for key, field in fields.items() if not key.startswith("GGUF.")}
