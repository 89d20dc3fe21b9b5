"""Adapters over a loaded model, against peft."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from test_architectures import CASES  # noqa: E402
from test_graph import (  # noqa: E402
    SHAPES,
    convert,
    random_ids,
    relative_error,
    save_checkpoint,
    torch_logits,
)

from lora_folders import ATTENTION, FFN, random_pair, save_adapter, write_adapter  # noqa: E402
from phonelm.engine import Model, load, parse_adapter  # noqa: E402

IDS = random_ids()
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "untied": ("llama", {"tie_word_embeddings": False}),
    "relu": ("phonelm", {"hidden_act": "relu", "rope_table": "int8"}),
    "arcee": ("phonelm", {"hidden_act": "relu2", "rope_table": "float", "ffn_gated": False}),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def one_by_one(model: Model, ids: list[int] = IDS) -> np.ndarray:
    """Logits as decode makes them."""
    session = model._new_session(len(ids))
    rows = []
    for token in ids:
        session.prefill([token])
        rows.append(session.logits())
    return np.stack(rows)


@dataclass
class Base:
    """A tiny model, in torch and loaded, and two adapters with peft's logits."""

    torch: Any
    path: Path
    model: Model
    folders: list[Path]
    logits: list[np.ndarray]
    plain: np.ndarray


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    folder = tmp_path_factory.mktemp("base")
    model = save_checkpoint(folder, "llama", **SHAPES["gqa"])
    folders = [folder / "one", folder / "two"]
    adapted = [save_adapter(model, place, seed, r=4 * seed) for seed, place in enumerate(folders, 1)]
    path = convert(folder)
    with load(path, num_threads=2) as loaded:
        logits = [torch_logits(each, IDS) for each in adapted]
        yield Base(model, path, loaded, folders, logits, torch_logits(model, IDS))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_logits_are_pefts(tmp_path: Path, kind: str, shape: str) -> None:
    model_type, overrides = KINDS[kind]
    model = save_checkpoint(tmp_path, model_type, **overrides, **SHAPES[shape])
    expected = torch_logits(save_adapter(model, tmp_path / "lora"), IDS)
    assert relative_error(torch_logits(model, IDS), expected) > 0.1
    with load(convert(tmp_path), num_threads=2, adapters=[tmp_path / "lora"]) as loaded:
        np.testing.assert_allclose(loaded.logits(IDS), expected, atol=1e-3)
        np.testing.assert_allclose(one_by_one(loaded), expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "gemma3", "phi3", "smollm3", "llama biases"])
def test_other_architectures(tmp_path: Path, kind: str) -> None:
    model_type, overrides = CASES[kind]
    model = save_checkpoint(tmp_path, model_type, pad_token_id=0, **overrides)
    expected = torch_logits(save_adapter(model, tmp_path / "lora", std=0.03), IDS)
    assert relative_error(torch_logits(model, IDS), expected) > 0.05
    with load(convert(tmp_path), num_threads=2, adapters=[tmp_path / "lora"]) as loaded:
        assert relative_error(loaded.logits(IDS), expected) < 1e-3
        assert relative_error(one_by_one(loaded), expected) < 1e-3


@pytest.mark.parametrize("target", [*ATTENTION, *FFN, "lm_head"])
def test_each_matrix_alone(tmp_path: Path, target: str) -> None:
    model = save_checkpoint(tmp_path, "llama", tie_word_embeddings=False, **SHAPES["gqa"])
    expected = torch_logits(save_adapter(model, tmp_path / "lora", std=0.1, target_modules=[target]), IDS)
    assert np.abs(expected - torch_logits(model, IDS)).max() > 0.01
    with load(convert(tmp_path), num_threads=2, adapters=[tmp_path / "lora"]) as loaded:
        np.testing.assert_allclose(loaded.logits(IDS), expected, atol=1e-3)
        np.testing.assert_allclose(one_by_one(loaded), expected, atol=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {"use_rslora": True},
        {"rank_pattern": {"q_proj": 3, "layers.1.mlp.down_proj": 17}},
        {
            "alpha_pattern": {"q_proj": 5, "layers.0.mlp.up_proj": 40},
            "rank_pattern": {"^model.layers.0.self_attn.v_proj": 2},
        },
        {"use_rslora": True, "rank_pattern": {"k_proj": 33}, "alpha_pattern": {"o_proj": 3}},
        {"target_modules": ["q_proj", "down_proj"], "layers_to_transform": [0, 2]},
        {"r": 70, "lora_alpha": 1},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_ranks_and_scales_are_pefts(base: Base, tmp_path: Path, settings: dict[str, Any]) -> None:
    expected = torch_logits(save_adapter(base.torch, tmp_path / "lora", **settings), IDS)
    with load(base.path, num_threads=2, adapters=[tmp_path / "lora"]) as loaded:
        np.testing.assert_allclose(loaded.logits(IDS), expected, atol=1e-3)


def test_an_adapter_equals_its_merged_weights(base: Base, tmp_path: Path) -> None:
    merged = save_adapter(base.torch, tmp_path / "lora").merge_and_unload()
    folder = tmp_path / "merged"
    merged.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((base.path.parent / name).read_bytes())
    with load(base.path, adapters=[tmp_path / "lora"]) as ours, load(convert(folder)) as theirs:
        np.testing.assert_allclose(ours.logits(IDS), theirs.logits(IDS), atol=1e-3)


def test_several_adapters_add_up_with_their_scales(base: Base) -> None:
    summed = copy.deepcopy(base.torch)
    scales = (0.5, -1.5)
    for folder, scale in zip(base.folders, scales, strict=True):
        _add_weights(summed, folder, scale)
    expected = torch_logits(summed, IDS)
    with load(base.path, adapters=list(zip(base.folders, scales, strict=True))) as loaded:
        np.testing.assert_allclose(loaded.logits(IDS), expected, atol=1e-3)
        np.testing.assert_allclose(one_by_one(loaded), expected, atol=1e-3)


def _add_weights(model: Any, folder: Path, scale: float) -> None:
    """W += scale * alpha / r * B A, by hand."""
    from safetensors.torch import load_file

    weights = load_file(folder / "adapter_model.safetensors")
    config = json.loads((folder / "adapter_config.json").read_text())
    with torch.no_grad():
        for name, a in weights.items():
            if ".lora_A." in name:
                module = model.get_submodule(name.removeprefix("base_model.model.").split(".lora_A")[0])
                b = weights[name.replace("lora_A", "lora_B")]
                module.weight += scale * config["lora_alpha"] / config["r"] * (b @ a)


@pytest.mark.parametrize("block_type", ["q4_0", "q8_0"])
@pytest.mark.parametrize("kind", [{"hidden_act": "relu"}, {"hidden_act": "relu2", "ffn_gated": False}])
def test_neuron_by_neuron_equals_dense(tmp_path: Path, block_type: str, kind: dict[str, Any]) -> None:
    """The dense one against peft too, as far as rounded weights allow."""
    model = save_checkpoint(tmp_path, "phonelm", hidden_size=128, **kind, **SHAPES["gqa"])
    adapted = torch_logits(save_adapter(model, tmp_path / "lora"), IDS)
    path, results, together = convert(tmp_path, block_type), [], []
    for sparse_ffn in (True, False):
        with load(path, num_threads=2, sparse_ffn=sparse_ffn, adapters=[tmp_path / "lora"]) as loaded:
            results.append(one_by_one(loaded))
            together.append(loaded.logits(IDS))
            live = loaded._new_session(8)
            live.prefill([1])
            assert bool(live.live_fractions()) == sparse_ffn
    assert relative_error(results[0], results[1]) < 2e-4
    np.testing.assert_array_equal(together[0], together[1])
    assert relative_error(torch_logits(model, IDS), adapted) > 0.3
    if block_type == "q8_0":
        assert relative_error(results[1], adapted) < 0.02


def test_a_swap_gives_each_its_own(base: Base) -> None:
    model = base.model
    for number in (0, 1, 0):
        model.set_adapters([base.folders[number]])
        np.testing.assert_allclose(model.logits(IDS), base.logits[number], atol=1e-3)
    model.set_adapters([])
    np.testing.assert_allclose(model.logits(IDS), base.plain, atol=1e-3)


def test_generation_and_scores_follow_the_adapter(base: Base) -> None:
    model = base.model
    for number in (0, 1):
        model.set_adapters([base.folders[number]])
        run = model.generate(IDS[:40], max_tokens=12)
        list(run)
        logits = model.logits([*IDS[:40], *run.tokens[:-1]])[-len(run.tokens) :]
        chosen = logits[np.arange(len(run.tokens)), run.tokens]
        assert (chosen >= logits.max(axis=-1) - 1e-3).all()
        log_probability, _ = model.native.score([IDS], [len(IDS) - 1], model._adapters)[0]
        expected = torch.log_softmax(torch.from_numpy(base.logits[number][:-1]), -1)
        expected = expected[torch.arange(len(IDS) - 1), torch.tensor(IDS[1:])].sum()
        assert log_probability == pytest.approx(float(expected), abs=0.02)
    model.set_adapters([])


def test_a_running_generation_keeps_its_adapters(base: Base) -> None:
    model = base.model
    model.set_adapters([base.folders[0]])
    alone = "".join(model.generate(IDS[:30], max_tokens=40))
    run = model.generate(IDS[:30], max_tokens=40)
    pieces = list(itertools.islice(run, 5))
    model.set_adapters([base.folders[1]])
    assert "".join([*pieces, *run]) == alone
    assert "".join(model.generate(IDS[:30], max_tokens=40)) != alone
    model.set_adapters([])


def test_two_threads_with_two_sets(base: Base) -> None:
    model = base.model
    sessions = []
    for number in (0, 1):
        model.set_adapters([base.folders[number]])
        sessions.append([model._new_session(len(IDS)) for _ in range(3)])
    model.set_adapters([])

    def run(number: int) -> None:
        for session in sessions[number]:
            session.prefill(IDS[:50])
            for token in IDS[50:]:
                session.prefill([token])
            np.testing.assert_allclose(session.logits(), base.logits[number][-1], atol=1e-3)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, (0, 1)))


def test_swaps_while_others_generate(base: Base) -> None:
    """Each answer is one of the three, whole."""
    with load(base.path, num_threads=1) as model:
        answers = set()
        for folders in ([], base.folders[:1], base.folders[1:]):
            model.set_adapters(folders)
            answers.add("".join(model.generate(IDS[:9], max_tokens=20)))

        def generate(_: int) -> str:
            return "".join(model.generate(IDS[:9], max_tokens=20))

        with ThreadPoolExecutor(3) as pool:
            texts = pool.map(generate, range(40))
            for number in range(20):
                model.set_adapters([base.folders[number % 2]] if number % 3 else [])
            assert set(texts) <= answers


def test_a_chats_keys_are_not_reused_under_other_adapters(base: Base, tmp_path: Path) -> None:
    folder = tmp_path / "chat"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((base.path.parent / name).read_bytes())
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    messages = [{"role": "user", "content": "some words, 123 numbers, " * 3}]
    with load(convert(folder), num_threads=1, adapters=base.folders[:1]) as model:
        first = model.chat(messages, max_tokens=8)
        assert model.chat(messages, stream=True, max_tokens=8).reused_tokens > 0
        held = model.chat(messages, stream=True, max_tokens=8)
        next(held)
        model.set_adapters(base.folders[1:])
        assert list(held)
        fresh = model.chat(messages, stream=True, max_tokens=8)
        assert fresh.reused_tokens == 0
        assert "".join(fresh) != first
        model.set_adapters(base.folders[:1])
        assert model.chat(messages, max_tokens=8) == first


def test_a_folder_is_converted_once_for_each_state(base: Base, cache: Path, tmp_path: Path) -> None:
    save_adapter(base.torch, tmp_path / "lora")
    with load(base.path, num_threads=1) as model:
        model.set_adapters([tmp_path / "lora"])
        (first,) = (cache / "adapters").iterdir()
        made = first.stat().st_mtime_ns
        model.set_adapters([tmp_path / "lora"])
        assert first.stat().st_mtime_ns == made
        save_adapter(base.torch, tmp_path / "lora", seed=5)
        model.set_adapters([tmp_path / "lora"])
        (second,) = (cache / "adapters").iterdir()
    assert second != first


def test_what_is_refused_leaves_the_adapters_at_hand(base: Base, tmp_path: Path) -> None:
    model = base.model
    model.set_adapters(base.folders[:1])
    other = save_checkpoint(tmp_path, "llama", intermediate_size=128, **SHAPES["gqa"])
    save_adapter(other, tmp_path / "lora")
    (tmp_path / "empty").mkdir()
    refused: list[tuple[Any, str]] = [
        ([tmp_path / "lora"], r"down_proj\.lora_A.weight has shape \(8, 128\).*mlp.down_proj is \(96, 160\)"),
        ([tmp_path / "empty"], "has no adapter_config.json"),
        ([base.path], "this is not an adapter"),
        ([(base.folders[0], float("nan"))], "is nan; give a number"),
        ([(base.folders[0], 1e30)], "is 1e[+]30; give a number"),
        (str(base.folders[0]), "give a list"),
    ]
    for adapters, message in refused:
        with pytest.raises(ValueError, match=message) as error:
            model.set_adapters(adapters)
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="no adapter at /nowhere"):
        model.set_adapters(["/nowhere"])
    np.testing.assert_allclose(model.logits(IDS), base.logits[0], atol=1e-3)
    model.set_adapters([])


def test_a_closed_model_takes_no_adapters(base: Base) -> None:
    model = load(base.path, num_threads=1)
    model.close()
    with pytest.raises(ValueError, match="is closed"):
        model.set_adapters(base.folders)


def test_a_gguf_adapter_by_path(base: Base, tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "a.gguf", {"blk.1.ffn_down.weight": random_pair(96, 160)})
    model = copy.deepcopy(base.torch)
    a, b = random_pair(96, 160)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight += 0.25 * 16 / 4 * torch.from_numpy(b @ a)
    with load(base.path, adapters=[(path, 0.25)]) as loaded:
        np.testing.assert_allclose(loaded.logits(IDS), torch_logits(model, IDS), atol=1e-3)


def test_the_command_lines_words(tmp_path: Path) -> None:
    assert parse_adapter("a.gguf") == "a.gguf"
    assert parse_adapter("a=b.gguf=0.5") == ("a=b.gguf", 0.5)
    assert parse_adapter("a.gguf=-1") == ("a.gguf", -1.0)
    odd = tmp_path / "x=1"
    odd.mkdir()
    assert parse_adapter(str(odd)) == str(odd)
    with pytest.raises(ValueError, match="PATH=SCALE"):
        parse_adapter("a.gguf=half")
