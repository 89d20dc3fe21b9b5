"""The same byte-level BPE vocabulary as a GGUF file and as a tokenizer of Hugging Face's `tokenizers`."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path
from typing import Any

import gguf
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

STDLIB = Path(sysconfig.get_path("stdlib"))
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)

# As the models' tokenizer.json files have them.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
EXPRESSIONS = {
    "llama-bpe": LLAMA3,
    "dbrx": LLAMA3,
    "qwen2": QWEN2,
    "deepseek-r1-qwen": QWEN2,
    "qwen35": QWEN2.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"\s\p{L}\p{N}", r"\s\p{L}\p{M}\p{N}"),
    "gpt-4o": GPT4O,
    "tekken": GPT4O.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "").replace("{1,3}", ""),
}


def isolated(pattern: str) -> Any:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def hf_rule(name: str) -> Any:
    """The pre-tokenizer in Hugging Face's terms."""
    if name == "gpt-2":
        return GPT2
    if name == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2])
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if name in EXPRESSIONS:
        return pre_tokenizers.Sequence([isolated(EXPRESSIONS[name]), last])
    gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    steps = [isolated(r"[\p{P}$+<=>^~|]+"), isolated(gpt2), isolated(r"\p{N}+"), isolated("[0-9][0-9][0-9]")]
    return pre_tokenizers.Sequence([*steps, last])


def hf_tokenizer(tokens: list[str], merges: list[str], rule: str) -> Tokenizer:
    vocabulary = {token: index for index, token in enumerate(tokens)}
    pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
    ignore_merges = rule in ("llama-bpe", "tekken")
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, ignore_merges=ignore_merges))
    if rule == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = hf_rule(rule)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def write_tokenizer(
    path: Path,
    tokens: list[str],
    merges: list[str],
    types: list[int] | None = None,
    rule: str | None = "smollm",
    more: dict[str, tuple[Any, str]] | None = None,
    **ids: int,
) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    if rule is not None:
        writer.add_tokenizer_pre(rule)
    writer.add_token_list(tokens)
    if types is not None:
        writer.add_token_types(types)
    if merges:
        writer.add_token_merges(merges)
    for name, value in ids.items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", value)
    for key, (given, kind) in (more or {}).items():
        element = gguf.GGUFValueType.INT32 if kind == "ARRAY" else None
        writer.add_key_value(key, given, gguf.GGUFValueType[kind], element)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def train_vocabulary() -> tuple[list[str], list[str]]:
    """Tokens and merges of a small vocabulary of all 256 bytes."""
    trainer = trainers.BpeTrainer(
        vocab_size=1500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = hf_rule("gpt-2")
    corpus = [
        (STDLIB / name).read_text(encoding="utf-8")
        for name in ("argparse.py", "typing.py", "html/entities.py")
    ]
    tokenizer.train_from_iterator(
        [*corpus, "12 345 6789 ½ ٣٤ don't we'll 中文 naïve ¿qué? " * 50], trainer=trainer
    )
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return tokens, [" ".join(merge) for merge in model["merges"]]
