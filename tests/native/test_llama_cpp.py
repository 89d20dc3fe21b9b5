"""Whole files in stock llama.cpp (PyPI's xllamacpp) and here: the same greedy text.

Both runtimes round: keys and values to fp16, and the inputs of quantized matrices to int8, each in its own
way. A near tie may therefore fall to either side, and the texts are about different things from there on. So
where two texts part, an exact judge is asked: llama.cpp with the same weights in float32, on what both texts
have in common. What this runtime said must be the likeliest token there, or as good as.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from llama_cpp import LlamaCpp, our_greedy
from test_architectures import CASES
from test_graph import SHAPES, convert, random_ids, save_checkpoint
from test_real_model import PROMPTS

import phonelm
from phonelm import formats

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.slow

NUM_TOKENS = 48
CONTEXT = 256
# Nats between the likeliest token and one that is as good as it. Int8 inputs move logits by tenths.
NEAR_TIE = 0.15
# Of float32 weights, where only keys and values and the order of sums differ.
FLOAT_NEAR_TIE = 0.02


@dataclass
class Files:
    """A quantized file, its weights in float32, and the latter in llama.cpp."""

    quantized: Path
    floats: Path
    judge: LlamaCpp


def write_floats(source: Path, out: Path) -> None:
    reader = gguf.GGUFReader(source)
    metadata = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    tensors = (
        (
            tensor.name,
            formats.LazyTensor(
                "f32", tuple(map(int, tensor.shape[::-1])), lambda tensor=tensor: floats(tensor)
            ),
        )
        for tensor in reader.tensors
    )
    formats.write_gguf(out, metadata, tensors)


def floats(tensor: Any) -> np.ndarray:
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    return values.reshape(-1).view(np.uint8)


@pytest.fixture(scope="module", params=["smollm2_gguf", "gemma3_gguf"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    quantized: Path = request.getfixturevalue(request.param)
    path = tmp_path_factory.mktemp("floats") / "model.gguf"
    write_floats(quantized, path)
    yield Files(quantized, path, LlamaCpp(path, CONTEXT))
    path.unlink()


def parting(ours: list[int], theirs: list[int]) -> int | None:
    """Where two texts have another token for the first time."""
    pairs = enumerate(zip(ours, theirs, strict=True))
    return next((index for index, (our, their) in pairs if our != their), None)


def judged_gap(judge: LlamaCpp, ids: list[int], ours: list[int], theirs: list[int]) -> float:
    """By how much, in the judge's eyes, our token is worse than the best, where texts part; 0: nowhere."""
    place = parting(ours, theirs)
    return 0.0 if place is None else judge.gap_to([*ids, *ours[:place]], ours[place])


def compare(path: Path, theirs: LlamaCpp, judge: LlamaCpp) -> list[float]:
    """Judged gaps of all prompts, which both runtimes tokenize themselves."""
    gaps = []
    with phonelm.load(path, num_threads=2) as model:
        for prompt in PROMPTS:
            ids = model.tokenizer.encode_prompt(prompt)
            text, num_ids = theirs.greedy(prompt, NUM_TOKENS)
            assert num_ids == len(ids)
            gaps.append(judged_gap(judge, ids, our_greedy(model, ids, NUM_TOKENS, CONTEXT), text))
    return gaps


def test_float_weights(files: Files) -> None:
    gaps = compare(files.floats, files.judge, files.judge)
    assert max(gaps) < FLOAT_NEAR_TIE
    assert gaps.count(0.0) >= 9


def test_quantized_weights(files: Files) -> None:
    gaps = compare(files.quantized, LlamaCpp(files.quantized, CONTEXT), files.judge)
    assert max(gaps) < NEAR_TIE


# What llama.cpp knows too, as it computes it: it reads no windows of phi3, and patterns of its own alone.
OUR_FILES: dict[str, tuple[str, dict[str, Any]]] = {
    # A plain squared-ReLU model of ours.
    "phonelm": (
        "phonelm",
        {**SHAPES["gqa"], "hidden_act": "relu2", "ffn_gated": False, "rope_table": "float"},
    ),
    **{
        case: CASES[case]
        for case in (
            "qwen2", "qwen2 yarn", "qwen3", "gemma3", "gemma3 other scale", "gemma3 other pattern",
            "gemma3 linear", "phi3 longrope", "phi3 partial longrope", "smollm3", "llama 3", "llama linear",
            "llama biases",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("case", OUR_FILES)
def test_our_files_load_in_llama_cpp(tmp_path: Path, case: str) -> None:
    model_type, settings = OUR_FILES[case]
    common = {"max_position_embeddings": 512, "pad_token_id": 0, "initializer_range": 0.2}
    save_checkpoint(tmp_path, model_type, **{**common, **settings})
    path = convert(tmp_path)
    judge = LlamaCpp(path, CONTEXT)
    with phonelm.load(path) as model:
        ids = random_ids(count=32)
        ours = our_greedy(model, ids, NUM_TOKENS, CONTEXT)
        theirs, _ = judge.greedy(ids, NUM_TOKENS)
        place = parting(ours, theirs)
        if place is not None:
            session = model.native.new_session(CONTEXT)
            session.prefill([*ids, *ours[:place]])
            logits = session.logits()
            assert logits[ours[place]] - logits[theirs[place]] < FLOAT_NEAR_TIE
    if case == "phonelm":
        assert ours[:32] == theirs[:32]
