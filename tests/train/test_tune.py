"""Tuning learns the assistant's words, resumes exactly, and leaves a folder that the runtime reads."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from phonelm.data.config import ConversationsConfig
from phonelm.data.tokenizer import save_tokenizer, train_tokenizer
from phonelm.engine import load
from phonelm.formats import convert_checkpoint
from phonelm.progress import Progress
from phonelm.train import TrainConfig, train
from phonelm.train.log import read_log
from phonelm.train.state import STATE_FILE
from phonelm.train.tune import TuneConfig, tune_instruct

CONFIG = TuneConfig(
    epochs=6, batch_size=2, sequence_length=64, learning_rate=3e-3, prompts=("count 3",), num_threads=1
)


class _Stop(Progress):
    """Presses Ctrl-C when a line begins with a text."""

    def __init__(self, beginning: str = "never") -> None:
        self.beginning = beginning
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)
        if text.startswith(self.beginning):
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small LLaMA of random weights with a ChatML tokenizer."""
    folder = tmp_path_factory.mktemp("base")
    save_tokenizer(train_tokenizer(["count 1 2 3 4 and more to count, the end is near " * 9], 300), folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=0,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> ConversationsConfig:
    """Counting to a number."""
    path = tmp_path_factory.mktemp("chats") / "chats.jsonl"
    rows = [
        [
            {"role": "user", "content": f"{'please ' * (n // 9)}count {1 + n % 9}"},
            {"role": "assistant", "content": " ".join(map(str, range(1, 2 + n % 9)))},
        ]
        for n in range(54)
    ]
    path.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    return ConversationsConfig(sources=(str(path),), valid_fraction=0.1)


@pytest.fixture(scope="module")
def tuned(base: Path, chats: ConversationsConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("tuned") / "run"
    tune_instruct(CONFIG, chats, base, folder, Progress())
    return folder


def test_answers_are_learnt_and_nothing_else(tuned: Path) -> None:
    lines = [line for line in read_log(tuned) if line["kind"] == "train"]
    assert lines[-1]["loss"] < lines[0]["loss"] / 3
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tuned), AutoTokenizer.from_pretrained(tuned)
    messages = [{"role": "user", "content": "count 3"}]
    encoded = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
    made = model.generate(**encoded, max_new_tokens=12, do_sample=False)
    answer = tokenizer.decode(made[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer.startswith("1 2")
    (sample,) = json.loads((tuned / "train.json").read_text())["samples"]
    assert sample["prompt"] == "count 3"


def test_the_runtime_writes_what_torch_writes(tuned: Path, tmp_path: Path) -> None:
    convert_checkpoint(tuned, tmp_path / "tuned.gguf", block_type="f32", embedding_type="f32")
    torchs, tokenizer = AutoModelForCausalLM.from_pretrained(tuned), AutoTokenizer.from_pretrained(tuned)
    prompt = "<|im_start|>user\ncount 7<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(prompt)["input_ids"]
    made = torchs.generate(torch.tensor([ids]), max_new_tokens=16, do_sample=False)[0, len(ids) :].tolist()
    with load(tmp_path / "tuned.gguf") as model:
        assert model.tokenizer.encode_prompt(prompt, parse_special=True) == ids
        answer = model.chat([{"role": "user", "content": "count 7"}], max_tokens=16, temperature=0)
    expected = tokenizer.decode(made[: made.index(2)] if 2 in made else made)
    assert answer == expected


def test_a_stopped_run_ends_with_the_same_weights(
    tuned: Path, base: Path, chats: ConversationsConfig, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        tune_instruct(CONFIG, chats, base, tmp_path, _Stop("step 5"))
    progress = _Stop()
    tune_instruct(CONFIG, chats, base, tmp_path, progress)
    assert any(line.startswith("resuming after step") for line in progress.lines)
    first, second = (load_file(folder / "model.safetensors") for folder in (tuned, tmp_path))
    assert all(torch.equal(first[name], second[name]) for name in first)
    again = _Stop()
    tune_instruct(CONFIG, chats, base, tmp_path, again)
    assert again.lines[-1].endswith("is trained already")


def test_adapters_learn_and_are_merged(base: Path, chats: ConversationsConfig, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"lora_rank": 8, "learning_rate": 2e-2})
    with pytest.raises(KeyboardInterrupt):
        tune_instruct(config, chats, base, tmp_path, _Stop("step 9"))
    state = torch.load(tmp_path / STATE_FILE)["model"]
    assert state
    assert all(".lora_" in name for name in state)
    tune_instruct(config, chats, base, tmp_path, Progress())
    lines = [line for line in read_log(tmp_path) if line["kind"] == "train"]
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.5
    before, after = (load_file(folder / "model.safetensors") for folder in (base, tmp_path))
    assert before.keys() == after.keys()
    # Low rank is what the matrices of the layers changed by, and nothing else changed.
    name = "model.layers.0.mlp.up_proj.weight"
    assert int(torch.linalg.matrix_rank(after[name] - before[name], rtol=1e-4)) == 8
    assert torch.equal(after["model.embed_tokens.weight"], before["model.embed_tokens.weight"])


def test_a_teacher_is_learnt_from(
    tuned: Path, base: Path, chats: ConversationsConfig, tmp_path: Path
) -> None:
    alone, taught = tmp_path / "alone", tmp_path / "taught"
    config = CONFIG.model_copy(update={"teacher_share": 1.0})
    tune_instruct(config, chats, base, alone, Progress())
    with pytest.raises(KeyboardInterrupt):
        tune_instruct(config, chats, base, taught, _Stop("step 9"), teacher=tuned)
    result = tune_instruct(config, chats, base, taught, Progress(), teacher=tuned)
    # Nothing but the teacher says what comes next, and at the end they agree nearly.
    assert result.loss < 0.1
    norms = [load_file(one / "model.safetensors")["model.norm.weight"] for one in (alone, taught)]
    assert not torch.equal(*norms)


def test_a_teacher_of_other_tokens_is_refused(base: Path, chats: ConversationsConfig, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in base.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    save_tokenizer(train_tokenizer(["other words for other ends"], 300), other)
    with pytest.raises(ValueError, match="has other tokens"):
        tune_instruct(CONFIG, chats, base, tmp_path / "out", Progress(), teacher=other)


def test_another_base_is_another_run(
    tuned: Path, base: Path, chats: ConversationsConfig, tmp_path: Path
) -> None:
    short = CONFIG.model_copy(update={"epochs": 0.5})
    results = [tune_instruct(short, chats, one, tmp_path / one.name, Progress()) for one in (base, tuned)]
    assert results[1].loss < results[0].loss / 2


def test_long_conversations_are_told(base: Path, chats: ConversationsConfig, tmp_path: Path) -> None:
    progress = _Stop()
    short = CONFIG.model_copy(update={"sequence_length": 28, "epochs": 0.1})
    tune_instruct(short, chats, base, tmp_path, progress)
    assert any("lose their end" in line for line in progress.lines)


def test_what_cannot_be_tuned_is_refused(base: Path, chats: ConversationsConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no Hugging Face folder"):
        tune_instruct(CONFIG, chats, tmp_path / "none", tmp_path / "out", Progress())
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((base / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
    with pytest.raises(ValueError, match="architecture 'gpt2'; those that can be trained are llama"):
        tune_instruct(CONFIG, chats, other, tmp_path / "out", Progress())
    long = CONFIG.model_copy(update={"sequence_length": 200})
    with pytest.raises(ValueError, match="exceeds the model's context 128"):
        tune_instruct(long, chats, base, tmp_path / "out", Progress())


def test_packed_conversations_are_not_compiled(tuned: Path, base: Path, tmp_path: Path) -> None:
    config = TrainConfig(steps=1, batch_size=1, sequence_length=64, compile=True)
    with pytest.raises(ValueError, match="compile: false"):
        train(config, base, tuned / "data", tmp_path, progress=Progress())
