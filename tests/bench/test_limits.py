from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from phonelm.arch import DecoderConfig
from phonelm.bench.limits import bytes_by_type, decode_bytes, packed_bytes, skipped_bytes
from phonelm.engine import load
from phonelm.formats import write_random_gguf

UNTIED = DecoderConfig(
    vocab_size=300,
    hidden_size=64,
    num_layers=3,
    num_heads=2,
    num_kv_heads=1,
    head_dim=32,
    intermediate_size=96,
    tie_embeddings=False,
    context_length=64,
)


@pytest.fixture(scope="module")
def untied_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("untied") / "model.gguf"
    write_random_gguf(path, UNTIED, block_type="q4_0", embedding_type="q8_0")
    return path


def test_packed_bytes_are_what_the_runtime_holds(tiny_gguf: Path, untied_gguf: Path) -> None:
    for path in (tiny_gguf, untied_gguf):
        with load(path) as model:
            sizes = packed_bytes(model.native)
            # The runtime adds two pages for prefetching, and up to 64 bytes a tensor for alignment.
            slack = model.native.weight_bytes - sum(sizes.values())
            assert 0 <= slack <= 8192 + 64 * len(sizes)
            assert sizes.keys() == model.native.tensor_types.keys()


def test_rows_are_packed_in_panels_and_counted_by_type(untied_gguf: Path) -> None:
    with load(untied_gguf) as model:
        by_type = bytes_by_type(packed_bytes(model.native), model.native.tensor_types)
    layer_elements = 64 * (64 + 32 + 32 + 64 + 3 * 96)
    assert by_type == {
        "Q4_0": 3 * layer_elements // 32 * 18,
        "Q8_0": 2 * 304 * 64 // 32 * 34,
        "F32": 4 * 64 * (1 + 2 * 3),
    }
    assert list(by_type.values()) == sorted(by_type.values(), reverse=True)


def test_decode_reads_the_head_but_not_an_untied_embedding() -> None:
    sizes = {"token_embd.weight": 1000, "output.weight": 700, "blk.0.attn_q.weight": 50}
    kv_of_one = 3 * 2 * 32 * 2
    assert decode_bytes(sizes, UNTIED, 1, 1) == 750 + 2 * kv_of_one
    del sizes["output.weight"]
    assert decode_bytes(sizes, UNTIED, 1, 1) == 1050 + 2 * kv_of_one


def test_a_later_token_reads_the_keys_of_all_before() -> None:
    kv_of_one = 3 * 2 * 32 * 2
    each = [kv_of_one * (10 + index + 1) for index in range(5)]
    assert decode_bytes({}, UNTIED, 10, 5) == sum(each) // 5


@pytest.mark.parametrize("ffn", ["gated", "plain"])
@pytest.mark.parametrize(("block_type", "quant_bits"), [("Q4_0", 4), ("Q8_0", 8)])
def test_dead_neurons_are_up_rows_and_down_quants(
    ffn: Literal["gated", "plain"], block_type: str, quant_bits: int
) -> None:
    config = UNTIED.model_copy(update={"ffn": ffn, "activation": "relu"})
    quants = 64 * 96 * quant_bits // 8
    scales = 64 * 96 // 32 * 2
    sizes, types = {}, {}
    for layer in range(3):
        for name in ("ffn_gate", "ffn_up", "ffn_down"):
            sizes[f"blk.{layer}.{name}.weight"] = quants + scales
            types[f"blk.{layer}.{name}.weight"] = block_type
    dead = (0.5 + 0.25 + 0.0) * quants
    if ffn == "gated":
        dead += (0.5 + 0.25 + 0.0) * (quants + scales)
    assert skipped_bytes(sizes, types, config, [0.5, 0.75, 1.0]) == dead
    assert skipped_bytes(sizes, types, config, []) == 0
