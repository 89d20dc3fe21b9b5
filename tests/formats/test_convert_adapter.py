from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")
gguf = pytest.importorskip("gguf")

from safetensors.numpy import load_file, save_file  # noqa: E402
from test_graph import SHAPES, convert, save_checkpoint  # noqa: E402

from lora_folders import save_adapter  # noqa: E402
from phonelm.engine import load  # noqa: E402
from phonelm.formats import convert_adapter, convert_checkpoint  # noqa: E402
from phonelm.formats.convert_adapter import AdapterBase  # noqa: E402

MakeCheckpoint = Callable[..., Path]
Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def checkpoint(make_checkpoint: MakeCheckpoint) -> Path:
    return make_checkpoint()


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    save_adapter(transformers.AutoModelForCausalLM.from_pretrained(checkpoint), tmp_path / "lora")
    return tmp_path / "lora"


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    reader = gguf.GGUFReader(path)
    fields = {key: field.contents() for key, field in reader.fields.items()}
    return fields, {tensor.name: tensor for tensor in reader.tensors}


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("as_gguf", [True, False])
def test_the_layout_is_llama_cpps(checkpoint: Path, folder: Path, tmp_path: Path, as_gguf: bool) -> None:
    """A as it is; B too, but for the rows of q and k, permuted as the base's."""
    base = checkpoint
    if as_gguf:
        base = tmp_path / "model.gguf"
        convert_checkpoint(checkpoint, base, "q8_0")
    convert_adapter(folder, base, tmp_path / "a.gguf")
    fields, tensors = read(tmp_path / "a.gguf")
    expected = {"general.type": "adapter", "adapter.type": "lora", "general.architecture": "llama"}
    assert expected.items() <= fields.items()
    assert fields["adapter.lora.alpha"] == 16.0
    source = load_file(folder / "adapter_model.safetensors")
    assert len(tensors) == len(source) == 2 * 7 * 2
    for layer in range(2):
        hf = f"base_model.model.model.layers.{layer}"
        for ours, theirs in {"ffn_down": "mlp.down_proj", "attn_v": "self_attn.v_proj"}.items():
            for half in "AB":
                data = tensors[f"blk.{layer}.{ours}.weight.lora_{half.lower()}"].data
                np.testing.assert_array_equal(data, source[f"{hf}.{theirs}.lora_{half}.weight"])
        for name, num_heads in {"q": 4, "k": 2}.items():
            b = source[f"{hf}.self_attn.{name}_proj.lora_B.weight"]
            permuted = b.reshape(num_heads, 2, 8, 8).swapaxes(1, 2).reshape(b.shape)
            np.testing.assert_array_equal(tensors[f"blk.{layer}.attn_{name}.weight.lora_b"].data, permuted)


def test_scales_of_their_own_are_in_b(checkpoint: Path, tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    save_adapter(model, tmp_path / "lora", use_rslora=True, alpha_pattern={"o_proj": 4})
    convert_adapter(tmp_path / "lora", checkpoint, tmp_path / "a.gguf")
    fields, tensors = read(tmp_path / "a.gguf")
    assert fields["adapter.lora.alpha"] == pytest.approx(16 * 8**0.5)
    source = load_file(tmp_path / "lora/adapter_model.safetensors")
    b = source["base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight"]
    np.testing.assert_allclose(tensors["blk.0.attn_output.weight.lora_b"].data, b / 4, rtol=1e-6)


@pytest.mark.parametrize("heads", [4, [4, 4]])
def test_the_heads_of_a_base_may_be_told_for_each_layer(heads: Any) -> None:
    keys = {"general.architecture": "llama", "llama.embedding_length": 64}
    base = AdapterBase.from_gguf({**keys, "llama.attention.head_count": heads}, {})
    assert base.head_dim == 16
    with pytest.raises(ValueError, match="do not tell the size of a head"):
        AdapterBase.from_gguf({**keys, "llama.attention.head_count": [4, 2]}, {})


def test_types(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    for name in ("f32", "f16", "bf16"):
        convert_adapter(folder, checkpoint, tmp_path / "a.gguf", name)
        assert {tensor.tensor_type.name for tensor in read(tmp_path / "a.gguf")[1].values()} == {name.upper()}
    with pytest.raises(ValueError, match="f32, f16 or bf16, not q8_0"):
        convert_adapter(folder, checkpoint, tmp_path / "a.gguf", "q8_0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "only LORA"),
        ({"peft_type": None}, "only LORA"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"use_dora": True}, "use_dora is not supported; train without DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is not supported; merge"),
        ({"lora_bias": True}, "lora_bias is not supported"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out is not supported"),
        ({"layer_replication": [[0, 2]]}, "layer_replication is not supported; merge"),
        ({"target_parameters": ["experts"]}, "target_parameters is not supported"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens is not supported"),
        ({"of_the_future": 7}, "of_the_future is not supported"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa', which changes the base"),
        ({"init_lora_weights": [1]}, "init_lora_weights is"),
        ({"r": 4}, r"layers\.0\..*has rank 8, but adapter_config.json says 4"),
        ({"r": 0}, "r is 0; it must be a positive number"),
        ({"r": "8"}, "r is '8'"),
        ({"lora_alpha": float("nan")}, "lora_alpha is nan"),
        ({"lora_alpha": float("inf")}, "lora_alpha is inf"),
        ({"lora_alpha": None}, "lora_alpha is None"),
        ({"lora_alpha": 0}, "lora_alpha is 0; it must be a positive number"),
        ({"alpha_pattern": [1]}, "alpha_pattern is not an object"),
        ({"alpha_pattern": {"(a+)+": 1}}, "name each module"),
        ({"rank_pattern": {"q_proj": -1}}, r"rank_pattern\['q_proj'\] is -1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_would_be_lost_are_refused(
    checkpoint: Path, folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    edit_config(folder, **changes)
    refused(folder, checkpoint, tmp_path, message)


def refused(folder: Path, base: Path, tmp_path: Path, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        convert_adapter(folder, base, tmp_path / "a.gguf")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "a.gguf").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({f"{Q}.lora_A.weight": None}, "q_proj.lora_B.weight' without its other half"),
        (
            {f"{Q}.lora_A.weight": (8, 32)},
            r"lora_A.weight has shape \(8, 32\), but .* is \(64, 64\)",
        ),
        (
            {f"{Q}.lora_B.weight": (32, 8)},
            r"lora_B.weight has shape \(32, 8\), but .* is \(64, 64\)",
        ),
        ({f"{Q}.lora_B.weight": (64, 4)}, "do not have one rank"),
        ({f"{Q}.lora_B.weight": (64, 8, 1)}, "do not have one rank"),
        ({f"{Q}.lora_A.weight": (0, 64), f"{Q}.lora_B.weight": (64, 0)}, "do not have one rank"),
        ({f"{Q}.lora_magnitude_vector": (64,)}, "lora_magnitude_vector', which is not A or B"),
        ({"base_model.model.lm_head.base_layer.weight": (300, 64)}, "save_embedding_layers=False"),
        ({"base_model.model.model.embed_tokens.lora_embedding_A": (8, 300)}, "not A or B of a linear layer"),
        ({"q.lora_A.weight": (8, 64)}, "not A or B of a linear layer"),
        (
            {
                "base_model.model.model.layers.2.mlp.up_proj.lora_A.weight": (8, 64),
                "base_model.model.model.layers.2.mlp.up_proj.lora_B.weight": (96, 8),
            },
            "model.layers.2.mlp.up_proj, which is no linear layer of this model",
        ),
    ],
    ids=str,
)
def test_other_tensors_are_refused(
    checkpoint: Path, folder: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    for name, shape in change.items():
        if shape is None:
            del tensors[name]
        else:
            tensors[name] = np.zeros(shape, np.float32)
    save_file(tensors, path)
    refused(folder, checkpoint, tmp_path, message)


def test_files_that_are_broken_or_not_there(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    path = folder / "adapter_model.safetensors"
    whole = path.read_bytes()
    tensors = load_file(path)
    tensors[f"{Q}.lora_B.weight"][3, 1] = np.nan
    save_file(tensors, path)
    refused(folder, checkpoint, tmp_path, "q_proj.lora_B.weight .*finite.*the adapter is broken")
    path.write_bytes(whole[:1000])
    refused(folder, checkpoint, tmp_path, "is not a whole safetensors file")
    save_file({}, path)
    refused(folder, checkpoint, tmp_path, "holds no tensors")
    path.unlink()
    refused(folder, checkpoint, tmp_path, "has no adapter_model.safetensors")
    (folder / "adapter_model.bin").write_bytes(pickle.dumps({}))
    refused(folder, checkpoint, tmp_path, "a pickle, which is not read; load it with peft")
    (folder / "adapter_config.json").write_text("[]")
    refused(folder, checkpoint, tmp_path, "not a JSON object")
    refused(tmp_path / "none", checkpoint, tmp_path, "has no adapter_config.json")


@pytest.mark.slow
def test_llama_cpp_gives_the_same_text(tmp_path: Path) -> None:
    """Its server's wheel, where that is installed."""
    xllamacpp = pytest.importorskip("xllamacpp")
    model = save_checkpoint(tmp_path, "llama", tie_word_embeddings=False, **SHAPES["gqa"])
    save_adapter(model, tmp_path / "lora", std=0.1)
    base, adapter = convert(tmp_path), tmp_path / "a.gguf"
    convert_adapter(tmp_path / "lora", base, adapter)
    texts = set()
    for scale in (0.0, 1.0, 0.5):
        params = xllamacpp.CommonParams()
        params.model.path, params.n_ctx, params.n_parallel = str(base), 128, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        if scale:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), scale)]
        request = {"prompt": list(range(40, 60)), "n_predict": 24, "temperature": 0}
        theirs = xllamacpp.Server(params).handle_completions(request)["choices"][0]["text"]
        with load(base, num_threads=1, adapters=[(adapter, scale)] if scale else []) as ours:
            texts.add("".join(ours.generate(request["prompt"], max_tokens=24)))
        assert theirs in texts
    assert len(texts) == 3
