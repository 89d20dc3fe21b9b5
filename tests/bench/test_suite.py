from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phonelm.arch import DecoderConfig, count_parameters
from phonelm.arch.registry import registry
from phonelm.bench.suite import (
    Entry,
    Selection,
    SuiteOptions,
    meter,
    read_rows,
    run,
    run_suite,
    select,
    shape_of,
)
from phonelm.bench.suite.reasons import reason_of
from phonelm.bench.suite.result import PARTS
from phonelm.engine import load
from phonelm.formats import write_random_gguf
from phonelm.progress import Progress
from shapes import TINY

SHAPE = shape_of(TINY)
WIDER = SHAPE.model_copy(update={"intermediate_size": 256, "tie_embeddings": False})
SELECTION = Selection([Entry(("small", "same"), SHAPE, 1000), Entry(("wider",), WIDER, 2000)], {"odd": "why"})
Q4 = SuiteOptions(("q4_0",), threads=1)


@pytest.fixture(autouse=True)
def temporary_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where models are written, so that it can be seen that none is left."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files of the models that were measured by now."""
    paths: list[Path] = []
    original = meter.in_own_process

    def noted(function: Callable[..., Any], path: Path, *arguments: Any) -> Any:
        paths.append(path)
        return original(function, path, *arguments)

    monkeypatch.setattr(meter, "in_own_process", noted)
    return paths


def test_every_model_of_the_registry_is_measured_or_left_out_with_a_reason() -> None:
    selection = select()
    names = [name for entry in selection.entries for name in entry.names]
    assert sorted([*names, *selection.left_out]) == sorted(row.name for row in registry())
    assert all(selection.left_out.values())
    sizes = [entry.parameters for entry in selection.entries]
    assert sizes == sorted(sizes)
    assert len({entry.shape for entry in selection.entries}) == len(selection.entries)
    assert ("SmolLM-135M", "SmolLM2-135M") in [entry.names for entry in selection.entries]


def test_reasons_name_all_that_is_lacking() -> None:
    left_out = select().left_out
    reason, _, lacking = left_out["Pythia-1B"].partition(": ")
    assert reason == "the runtime lacks"
    assert {
        "rotary positions in 25% of each head", "FFNs with exact GELU", "attention and FFN side by side"
    } <= set(lacking.split(", "))  # fmt: skip
    assert "layers of different sizes" in left_out["OpenELM-1.1B"]
    assert "learned positions" in left_out["OPT-125M"]
    assert "caps logits" in left_out["Gemma-2-2B"]
    assert "latent attention" in left_out["MiniCPM3-4B"]


def test_reasons_are_in_words_and_name_what_has_none() -> None:
    assert not [reason for reason in select().left_out.values() if " = " in reason or "True" in reason]
    assert reason_of(["layers.mixer.sinks = True"], ()) == "the runtime lacks: layers.mixer.sinks = True"
    assert reason_of(["embedding.scaled = False"], ()) == "the runtime lacks: embedding.scaled = False"
    assert reason_of([], ("does more",)) == ""


def test_shapes_are_the_registrys_own() -> None:
    configs = {row.name: row.config for row in registry()}
    for entry in select().entries:
        for name in entry.names:
            config = configs[name]
            assert config is not None
            assert count_parameters(config).total == entry.parameters
            costless = {"context_length": 4096, "norm_eps": 1e-6}
            assert config.model_copy(update=costless) == _with_its_theta(entry.shape, config, costless)


def _with_its_theta(shape: DecoderConfig, config: DecoderConfig, costless: dict[str, Any]) -> DecoderConfig:
    rope = config.layers[0].mixer.rope
    assert rope is not None
    return shape.model_copy(update={**costless, "rope_theta": rope.theta})


def test_the_loader_takes_each_kind_of_shape(tmp_path: Path) -> None:
    """Every buildable kind of layer, as wide as it is, once."""
    kinds = {}
    for entry in select().entries:
        shape = entry.shape.model_copy(update={"num_layers": 1, "vocab_size": 320})
        layer = shape.layers[0]
        biases = (layer.mixer.bias, layer.ffn.bias)
        kinds.setdefault((layer.mixer.head_dim, biases, layer.ffn.activation, shape.head.tied), shape)
    for kind, shape in kinds.items():
        write_random_gguf(tmp_path / "model.gguf", shape)
        with load(tmp_path / "model.gguf", num_threads=1, context_length=64) as model:
            assert model.logits([1, 2]).shape == (2, 320), kind


def test_models_are_chosen_by_name_and_size() -> None:
    some = select(["smollm*", "phonelm-0.5b"], 200_000_000)
    assert [entry.names for entry in some.entries] == [("SmolLM-135M", "SmolLM2-135M")]
    assert set(some.left_out) == {
        *("SmolLM-360M", "SmolLM-1.7B", "SmolLM2-360M", "SmolLM2-1.7B", "PhoneLM-0.5B")
    }
    with pytest.raises(ValueError, match=r"no model .* 'SmolLM3-135M'; try SmolLM"):
        select(["SmolLM3-135M"])


def test_a_second_run_measures_only_what_is_missing(
    tmp_path: Path, measured: list[Path], temporary_place: Path
) -> None:
    path = tmp_path / "suite.jsonl"
    first = run_suite(Selection(SELECTION.entries[:1]), path, Q4, Progress())
    assert len(measured) == 1
    again = run_suite(SELECTION, path, Q4, Progress())
    assert len(measured) == 2
    assert again.rows[0] == first.rows[0]
    assert [row.measured_as for row in read_rows(path)] == ["small", "wider"]
    assert again.left_out == {"odd": "why"}
    run_suite(SELECTION, path, SuiteOptions(("q8_0",), threads=1), Progress())
    assert len(measured) == 4
    assert {row.key for row in read_rows(path)} >= {row.key for row in again.rows}
    assert len({row.key for row in read_rows(path)}) == 4
    assert not os.listdir(temporary_place)


def test_an_interrupt_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary_place: Path
) -> None:
    path, original = tmp_path / "suite.jsonl", meter.in_own_process

    def interrupted(function: Callable[..., Any], model: Path, *arguments: Any) -> Any:
        if path.exists():
            raise KeyboardInterrupt
        return original(function, model, *arguments)

    monkeypatch.setattr(meter, "in_own_process", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_suite(SELECTION, path, Q4, Progress())
    assert [row.measured_as for row in read_rows(path)] == ["small"]
    assert not os.listdir(temporary_place)


def test_a_row_adds_up(tmp_path: Path) -> None:
    (row,) = run_suite(Selection(SELECTION.entries[:1]), tmp_path / "rows.jsonl", Q4, Progress()).rows
    assert (row.block_type, row.head_type, row.prefill_threads) == ("q4_0", "q8_0", 1)
    assert [timing.prompt_tokens for timing in row.prompts] == [50, 512]
    for timing in row.prompts:
        for spread, parts in (
            (timing.prefill_s, timing.prefill_parts_s),
            (timing.decode_s, timing.decode_parts_s),
        ):
            assert set(parts) == set(PARTS)
            assert min(parts.values()) > 0
            assert sum(parts.values()) <= spread.median
            assert spread.low <= spread.median <= spread.high
    known = row.base_bytes + row.weight_bytes + row.kv_bytes
    assert known + row.buffer_bytes == row.peak_rss_bytes if row.buffer_bytes else known >= row.peak_rss_bytes


def test_what_does_not_fit_is_left_out_before_it_is_written(
    tmp_path: Path, measured: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from phonelm import _native

    path = tmp_path / "rows.jsonl"
    outcome = run_suite(SELECTION, path, SuiteOptions(("q4_k",)), Progress())
    assert outcome.left_out["wider, q4_k"] == "rows of 64 numbers are no whole blocks of q4_k"
    monkeypatch.setattr(_native, "available_memory", lambda: (10_000, "this machine"))
    outcome = run_suite(SELECTION, path, Q4, Progress())
    assert outcome.left_out["small = same, q4_0"].startswith("needs 0.0 GB of memory, of which this machine")
    assert not measured
    assert not path.exists()


def test_a_model_that_the_loader_refuses_is_said_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, refused = meter.in_own_process, []

    def refusing(function: Callable[..., Any], model: Path, *arguments: Any) -> Any:
        if not refused:
            refused.append(model)
            raise ValueError("no room for it")
        return original(function, model, *arguments)

    monkeypatch.setattr(meter, "in_own_process", refusing)
    outcome = run_suite(SELECTION, tmp_path / "rows.jsonl", Q4, Progress())
    assert outcome.left_out["small = same, q4_0"] == "no room for it"
    assert [row.measured_as for row in outcome.rows] == ["wider"]


@pytest.mark.parametrize(
    ("hidden", "block_type", "expected"),
    [(2048, "q4_0", "q6_k"), (576, "q4_0", "q8_0"), (2048, "q8_0", "q8_0"), (2048, "f16", "f16")],
)
def test_the_head_is_that_of_llama_cpps_files(hidden: int, block_type: str, expected: str) -> None:
    assert run.head_type(SHAPE.model_copy(update={"hidden_size": hidden}), block_type) == expected


def test_one_model_is_measured_in_all_types_unless_types_are_asked_for() -> None:
    types = {entry.names: SuiteOptions().types_for(entry) for entry in select().entries}
    several = [names for names, of_model in types.items() if of_model != ("q4_0",)]
    assert several == [("TinyLlama-1.1B", "MobiLlama-1B")]
    assert types[several[0]] == run.QUANTIZATIONS
    assert SuiteOptions(("q8_0",)).types_for(SELECTION.entries[0]) == ("q8_0",)
