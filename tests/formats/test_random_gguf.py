from pathlib import Path

import numpy as np
import pytest

from phonelm.arch import DecoderConfig, preset, weight_bytes
from phonelm.arch.arithmetic import BLOCKS
from phonelm.arch.tensors import model_tensors
from phonelm.formats import dequantize, read_gguf_config, write_random_gguf

gguf = pytest.importorskip("gguf")

TINY = DecoderConfig(
    vocab_size=320, hidden_size=128, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=32,
    intermediate_size=256, activation="relu", rope_table="int8", tie_embeddings=False,
)  # fmt: skip


# Wide enough for blocks of 256.
WIDE = TINY.model_copy(update={"hidden_size": 256, "intermediate_size": 512, "num_heads": 8})


@pytest.mark.parametrize("block_type", BLOCKS)
def test_shapes_types_and_variance(tmp_path: Path, block_type: str) -> None:
    path = tmp_path / "random.gguf"
    write_random_gguf(path, WIDE, block_type)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    assert {t.name: tuple(t.shape) for t in model_tensors(WIDE)} == {
        name: tuple(int(n) for n in tensor.shape[::-1]) for name, tensor in tensors.items()
    }
    assert sum(tensor.n_bytes for tensor in tensors.values()) == weight_bytes(WIDE, block_type)
    weights = gguf.quants.dequantize(
        tensors["blk.1.ffn_down.weight"].data, tensors["blk.1.ffn_down.weight"].tensor_type
    )
    assert weights.shape == (256, 512)
    assert np.isfinite(weights).all()
    assert abs(weights.mean()) < 0.02 * weights.std()
    assert weights.std() * 512**0.5 == pytest.approx(1, abs=0.1)


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_random_gguf(tmp_path / name, TINY, seed=seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_eight_bit_levels_are_those_a_quantizer_gives(tmp_path: Path) -> None:
    write_random_gguf(tmp_path / "a", TINY)
    tensor = next(t for t in gguf.GGUFReader(tmp_path / "a").tensors if t.name == "token_embd.weight")
    levels = tensor.data.reshape(-1, 34)[:, 2:].view(np.int8)
    assert (levels.min(), levels.max()) == (-127, 127)
    assert np.isfinite(dequantize(tensor.data, "Q8_0")).all()


def test_the_configuration_comes_back(tmp_path: Path) -> None:
    write_random_gguf(tmp_path / "a", TINY)
    assert read_gguf_config(tmp_path / "a") == TINY


def test_what_cannot_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the runtime has no \w+ decoders with"):
        write_random_gguf(tmp_path / "a", preset("OPT-125M"))
    with pytest.raises(ValueError, match="unknown weight type"):
        write_random_gguf(tmp_path / "a", TINY, "iq2_xs")
    assert list(tmp_path.iterdir()) == []
