"""Write the inputs that the fuzzers begin with into corpus/: small sound files of each kind.

    python native/fuzz/make_corpus.py

What the fuzzers have found is there too, under names of its own (`finding-*`), and stays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from phonelm.arch import DecoderConfig
from phonelm.arch.tensors import model_tensors
from phonelm.formats.gguf_config import config_metadata

CORPUS = Path(__file__).parent / "corpus"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
SPACE = "\u2581"

TEXTS = (
    "Hello world, it's 12345 o'clock -- don't WE'LL\n\n  x\t y \r\n",
    "naïve ﬁ e\u0301 ½ Ⅷ ٣٤ 中文 क्षि 🙂 \u3000\u00a0\u200b CamelCase's",
    "<|im_start|>user\n<tool>the aaaa 1212 <|im_end|><end_of_turn>\n\n" + SPACE,
)


def byte_level(writer: gguf.GGUFWriter, rule: str) -> None:
    """A byte-level vocabulary with a merge of each kind."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule)
    writer.add_token_list(["a", "b", "Ġ", "ab", "Ġab", "<|im_end|>", "<tool>"])
    writer.add_token_types([NORMAL] * 5 + [CONTROL, USER_DEFINED])
    writer.add_token_merges(["a b", "Ġ ab"])
    writer.add_bos_token_id(5)
    writer.add_eos_token_id(5)
    writer.add_add_bos_token(True)
    writer.add_chat_template("{{ messages }}")


def sentencepiece(writer: gguf.GGUFWriter, with_bytes: bool) -> None:
    """A vocabulary with scores, with or without byte tokens."""
    pieces = ["<unk>", "</s>", SPACE, "a", "b", "ab", SPACE + "ab", "\n\n"]
    kinds = [UNKNOWN, CONTROL, *[NORMAL] * 5, USER_DEFINED]
    codes = [f"<0x{byte:02X}>" for byte in range(256)] if with_bytes else []
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*pieces, *codes])
    writer.add_token_types([*kinds, *[BYTE] * len(codes)])
    writer.add_token_scores([-float(index) for index in range(len(pieces) + len(codes))])
    writer.add_unk_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_space_prefix(with_bytes)


def values(writer: gguf.GGUFWriter) -> None:
    """A value of each type, and a tensor of each."""
    for name, value in (("uint8", 200), ("int8", -100), ("uint16", 60000), ("int16", -3), ("int32", -9)):
        getattr(writer, f"add_{name}")(name, value)
    writer.add_uint64("uint64", 2**64 - 1)
    writer.add_float32("float32", 0.5)
    writer.add_float64("float64", 0.25)
    writer.add_bool("bool", True)
    for name, items in (("ints", [1, 2]), ("floats", [0.5]), ("bools", [True]), ("texts", ["x", ""])):
        writer.add_array(name, items)
    writer.add_custom_alignment(32)
    for kind in ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0"):
        add_tensor(writer, f"{kind.lower()}.weight", (2, 32), kind)


def add_tensor(writer: gguf.GGUFWriter, name: str, shape: tuple[int, ...], kind: str) -> None:
    """Add a tensor of bytes that are all the same."""
    kind_id = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[kind_id]
    raw = (*shape[:-1], shape[-1] // block * size)
    # All bytes the same: small numbers in every type, and a file that packs well.
    writer.add_tensor(name, np.full(raw, 0x11, np.uint8), raw_shape=raw, raw_dtype=kind_id)


def model(writer: gguf.GGUFWriter, kind: str, **changes: Any) -> None:
    """A model of one layer that can be run."""
    config = DecoderConfig(
        vocab_size=7,
        hidden_size=32,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        head_dim=16,
        intermediate_size=32,
        context_length=8,
        **changes,
    )
    for key, value in config_metadata(config).items():
        if key != "general.architecture":
            add_value(writer, key, value)
    byte_level(writer, "gpt-2")
    for tensor in model_tensors(config):
        is_matrix = tensor.role != "vector"
        add_tensor(writer, tensor.name, tensor.shape, kind if is_matrix else "F32")


def add_value(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """Add a value under its kind of GGUF."""
    names = {bool: "bool", int: "uint32", float: "float32", str: "string", list: "array"}
    getattr(writer, f"add_{names[type(value)]}")(key, value)


def write(path: Path, architecture: str, fill: Any, *arguments: Any, **changes: Any) -> None:
    """Write a file that `fill` puts keys and tensors into."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    fill(writer, *arguments, **changes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Write the corpus beside this script."""
    files = CORPUS / "fuzz_gguf"
    write(files / "values", "llama", values)
    for rule in ("gpt-2", "default", "llama-bpe", "gpt-4o"):
        write(files / f"byte-level-{rule}", "llama", byte_level, rule)
    write(files / "sentencepiece", "llama", sentencepiece, False)
    write(files / "sentencepiece-bytes", "phi3", sentencepiece, True)
    write(CORPUS / "fuzz_model" / "gated-f32", "llama", model, "F32")
    write(CORPUS / "fuzz_model" / "gated-q8_0", "llama", model, "Q8_0")
    write(CORPUS / "fuzz_model" / "relu-q4_0", "phonelm", model, "Q4_0", activation="relu")
    texts = CORPUS / "fuzz_text"
    texts.mkdir(exist_ok=True)
    for kind in range(10):
        for index, text in enumerate(TEXTS):
            (texts / f"{kind}-{index}").write_bytes(bytes([kind]) + text.encode())


if __name__ == "__main__":
    main()
