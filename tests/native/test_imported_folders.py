"""Folder to GGUF to folder: the same tensors and configuration, and logits that are the runtime's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from test_architectures import CASES, LLAMA3, NUM_TOKENS, save, with_half_cache
from test_graph import SHAPES, convert, random_ids, relative_error, save_checkpoint, torch_logits
from test_split import write_again

from phonelm import _native, formats
from phonelm.arch import DecoderConfig
from phonelm.formats.families.base import changed
from phonelm.formats.gguf_outline import differences
from phonelm.formats.hf_rope_keys import rope_keys
from phonelm.formats.safetensors_reader import Checkpoint

PHONELM: dict[str, dict[str, Any]] = {
    "phonelm": {"hidden_act": "relu", "rope_table": "int8", **SHAPES["gqa"]},
    "phonelm layernorm": {
        "hidden_act": "silu",
        "rope_table": "float",
        "norm_kind": "layernorm",
        **SHAPES["mha"],
    },
    "phonelm plain": {"hidden_act": "relu2", "rope_table": "float", "ffn_gated": False, **SHAPES["mqa"]},
}
# Of a folder's configuration: who wrote it, and what says the same in another way.
WRITTEN_OTHERWISE = {"_name_or_path", "dtype", "transformers_version", "architectures"}
UNUSED = {
    "initializer_range",  # of weights that are there
    "_sliding_window_pattern",  # layer_types tell it
    "sliding_window",  # where no layer has one
    "original_max_position_embeddings",  # of no scaling
    "head_dim",  # the hidden size by the heads
    "partial_rotary_factor",  # the rope's parameters have it too
}


def original(folder: Path, case: str) -> Any:
    if case in PHONELM:
        return save_checkpoint(folder, "phonelm", max_position_embeddings=512, **PHONELM[case])
    return save(folder, case)


def decoder_of(folder: Path) -> DecoderConfig:
    return formats.config_from_hf(json.loads((folder / "config.json").read_text()))


def factors_of(config: DecoderConfig) -> list[Any]:
    ropes = [layer.mixer.rope for layer in config.layers]
    scalings = [rope.scaling for rope in ropes if rope and rope.scaling]
    return [factors for scaling in scalings for factors in (scaling.factors, scaling.long_factors) if factors]


def assert_same_tensors(folder: Path, other: Path, but: str = "none") -> None:
    found, expected = Checkpoint(folder), Checkpoint(other)
    assert set(found) == set(expected)
    for name in expected:
        if but not in name:
            # Gemma's norms are stored with 1 more.
            np.testing.assert_allclose(found.load(name), expected.load(name), rtol=0, atol=6e-8, err_msg=name)


@pytest.mark.parametrize("case", [*CASES, *PHONELM])
def test_there_and_back(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    original(source, case)
    path = convert(source)
    formats.import_gguf(path, back)

    is_scaled = case == "gemma3 other scale"
    assert_same_tensors(back, source, but="q_norm" if is_scaled else "none")
    config, expected = decoder_of(back), decoder_of(source)
    assert list(differences(config, expected)) == (["layers.0.mixer.scale = None"] if is_scaled else [])
    np.testing.assert_allclose(factors_of(config), factors_of(expected), rtol=1e-6)
    assert not list(differences(formats.read_gguf_config(convert(back)), formats.read_gguf_config(path)))

    model = transformers.AutoModelForCausalLM.from_pretrained(back, dtype=torch.float32).eval()
    ids = random_ids(count=NUM_TOKENS)
    logits = _native.Model.load(str(path)).new_session(NUM_TOKENS).prefill_logits(ids)
    if case in PHONELM:
        np.testing.assert_allclose(logits, torch_logits(model, ids), atol=1e-3)
    else:
        np.testing.assert_allclose(logits, with_half_cache(model, ids, monkeypatch), atol=1e-3)
    assert relative_error(logits, torch_logits(model, ids)) < 1e-3


@pytest.mark.parametrize(
    "case", ["qwen3", "phi3 partial longrope", "smollm3", "arcee", "llama 3", "llama yarn"]
)
def test_transformers_reads_the_same_configuration(tmp_path: Path, case: str) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    original(source, case)
    formats.import_gguf(convert(source), back)
    found, expected = (transformers.AutoConfig.from_pretrained(folder).to_dict() for folder in (back, source))
    ropes = found.pop("rope_parameters"), expected.pop("rope_parameters")
    differing = {key for key in {*found, *expected} if found.get(key) != expected.get(key)}
    assert differing - WRITTEN_OTHERWISE <= UNUSED, {
        key: (found.get(key), expected.get(key)) for key in differing
    }
    common = {key: (ropes[0][key], ropes[1][key]) for key in ropes[1] if key != "type"}
    for key, (one, other) in common.items():
        assert one == (other if isinstance(other, str) else pytest.approx(other, rel=1e-6)), key


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_are_rounded_as_torch_rounds_them(tmp_path: Path, dtype: str) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    model = save(source, "llama 3")
    formats.import_gguf(convert(source), back, dtype)
    found = transformers.AutoModelForCausalLM.from_pretrained(back, dtype="auto")
    assert found.dtype == getattr(torch, dtype)
    expected = model.to(found.dtype).state_dict()
    for name, values in found.state_dict().items():
        assert torch.equal(values, expected[name]), name


def test_a_tokenizer_and_its_ends_come_back(tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    save(source, "llama 3")
    (source / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    formats.import_gguf(convert(source), back)
    found, expected = (transformers.AutoTokenizer.from_pretrained(folder) for folder in (back, source))
    for text in ("some words, 123 numbers", "<|im_start|> élan <|im_end|>\n", ""):
        assert found(text).input_ids == expected(text).input_ids
        assert found.decode(found(text).input_ids) == text
    for name in ("bos_token", "eos_token", "pad_token", "unk_token", "chat_template"):
        assert getattr(found, name) == getattr(expected, name)
    generation = json.loads((back / "generation_config.json").read_text())
    stops = generation["eos_token_id"]
    tokenizer = _native.Tokenizer.from_gguf(str(source / "f32.gguf"))
    assert (stops if isinstance(stops, list) else [stops]) == tokenizer.stop_ids
    transformers.GenerationConfig.from_pretrained(back).validate()


def test_factors_of_rope_are_told_in_llama3s_keys() -> None:
    document = {
        "model_type": "llama", "vocab_size": 8, "hidden_size": 24, "num_hidden_layers": 1,
        "num_attention_heads": 1, "intermediate_size": 8,
    }  # fmt: skip
    for low, high, original in ((1.0, 4.0, 64), (1.0, 4.0, 8192), (1.5, 6.0, 4096), (1.0, 1.01, 64)):
        changes = {"low_freq_factor": low, "high_freq_factor": high}
        rope = {**LLAMA3, **changes, "original_max_position_embeddings": original}
        config = formats.config_from_hf({**document, "rope_parameters": rope})
        keys = rope_keys(config)
        again = formats.config_from_hf({**document, **keys})
        np.testing.assert_allclose(factors_of(again), factors_of(config), rtol=1e-5)
        if high == 4.0 and original == 64:
            assert keys["rope_scaling"].items() <= rope.items()
    (factors,) = factors_of(config)
    scaling = {"kind": "factors", "factors": (3.0, *factors[1:])}
    mixer = {**dict(config.layers[0].mixer), "rope": {"scaling": scaling}}
    with pytest.raises(ValueError, match="are not Llama 3's"):
        rope_keys(config.model_copy(update={"layers": [changed(config.layers[0], mixer=mixer)]}))


def test_parts_are_one_model(tmp_path: Path, tiny_gguf: Path) -> None:
    parts = write_again(tiny_gguf, tmp_path / "model.gguf", split_max_tensors=9)
    assert len(parts) > 1
    formats.import_gguf(tiny_gguf, tmp_path / "whole")
    formats.import_gguf(parts[-1], tmp_path / "parts")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert_same_tensors(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("fixture", ["smollm2_gguf", "gemma3_gguf"])
def test_logits_of_real_models(request: pytest.FixtureRequest, tmp_path: Path, fixture: str) -> None:
    """As the runtime's of the weights in F32; what quantized ones multiply is rounded to int8."""
    path = request.getfixturevalue(fixture)
    formats.import_gguf(path, tmp_path / "back")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "back", dtype=torch.float32).eval()
    text = "Once upon a time, a model ran on a phone.  It said:\n\t12, 345 & <b>more</b>. " * 4
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")(text).input_ids
    native = _native.Model.load(str(path))
    tokenizer = native.tokenizer
    assert ids == [tokenizer.bos_id] * tokenizer.add_bos + tokenizer.encode(text)
    expected = torch_logits(model, ids)
    assert relative_error(native.new_session(len(ids)).prefill_logits(ids), expected) < 0.03
    formats.requantize_gguf(path, tmp_path / "f32.gguf", "f32", "f32")
    wide = _native.Model.load(str(tmp_path / "f32.gguf")).new_session(len(ids))
    assert relative_error(wide.prefill_logits(ids), expected) < 1e-3
