import json
from pathlib import Path
from typing import Any

import gguf
import pytest

from phonelm.formats.byte_vocabulary import byte_characters, byte_tokenizer_metadata
from phonelm.formats.tokenizer_export import tokenizer_metadata
from phonelm.progress import Progress

DIGITS = {"type": "Digits", "individual_digits": True}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def document(**changes: Any) -> dict[str, Any]:
    model = {"type": "BPE", "vocab": {"a": 3, "b": 4, "ab": 5}, "merges": [["a", "b"]]}
    added = [{"id": i, "content": c, "special": i < 2} for i, c in enumerate(("<s>", "</s>", "<tool>"))]
    steps = {"type": "Sequence", "pretokenizers": [DIGITS, BYTES]}
    base = {"model": model, "added_tokens": added, "pre_tokenizer": steps, "normalizer": None}
    return base | {"model": model | changes.pop("model", {})} | changes


def export(folder: Path, tokenizer: Any, vocab_size: int = 8, **files: Any) -> dict[str, Any]:
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    metadata = tokenizer_metadata(folder, vocab_size)
    return {key.removeprefix("tokenizer.ggml."): value for key, value in metadata.items()}


def test_vocabulary_types_and_holes(tmp_path: Path) -> None:
    found = export(tmp_path, document())
    assert found["tokens"] == ["<s>", "</s>", "<tool>", "a", "b", "ab", "[PAD6]", "[PAD7]"]
    assert found["token_type"] == [3, 3, 4, 1, 1, 1, 5, 5]
    assert (found["model"], found["pre"], found["merges"]) == ("gpt2", "smollm", ["a b"])
    assert export(tmp_path, document(model={"merges": ["a b"]}))["merges"] == ["a b"]


def test_a_plain_byte_level_is_gpt2(tmp_path: Path) -> None:
    assert export(tmp_path, document(pre_tokenizer=BYTES))["pre"] == "gpt-2"
    one = {"type": "Sequence", "pretokenizers": [BYTES]}
    assert export(tmp_path, document(pre_tokenizer=one))["pre"] == "gpt-2"


def test_special_ids_come_from_the_configurations(tmp_path: Path) -> None:
    found = export(
        tmp_path,
        document(),
        generation_config={"eos_token_id": [1, 2]},
        config={"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": -1},
        tokenizer_config={"unk_token": {"content": "<tool>"}, "pad_token": None},
    )
    assert (found["bos_token_id"], found["eos_token_id"], found["eot_token_id"]) == (0, 1, 2)
    assert "eom_token_id" not in found
    assert found["unknown_token_id"] == 2
    assert "padding_token_id" not in found
    assert found["add_bos_token"] is False


def test_a_bos_token_is_added_where_the_tokenizer_adds_it(tmp_path: Path) -> None:
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {}}]}
    names = {"bos_token": "<s>"}
    assert export(tmp_path, document(post_processor=template), tokenizer_config=names)["add_bos_token"]
    both = {"type": "Sequence", "processors": [BYTES, template]}
    assert export(tmp_path, document(post_processor=both), tokenizer_config=names)["add_bos_token"]
    told = names | {"add_bos_token": False}
    assert not export(tmp_path, document(post_processor=template), tokenizer_config=told)["add_bos_token"]


def test_chat_templates(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
    key = "tokenizer.chat_template"
    assert key not in export(tmp_path, document())
    assert export(tmp_path, document(), tokenizer_config={"chat_template": "C"})[key] == "C"
    assert export(tmp_path, document(), tokenizer_config={"chat_template": named})[key] == "D"
    (tmp_path / "chat_template.jinja").write_text("J")
    assert export(tmp_path, document())[key] == "J"


def test_named_chat_templates_are_those_of_the_gguf_package(tmp_path: Path) -> None:
    named = [{"name": name, "template": name[0]} for name in ("tool_use", "default", "a-b")]
    found = export(tmp_path, document(), tokenizer_config={"chat_template": named})
    written = {key: value for key, value in found.items() if "chat_template" in key}
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_chat_template(named)
    expected = {key: field.value for key, field in writer.kv_data[0].items() if "chat_template" in key}
    names = "tokenizer.chat_templates"
    assert sorted(written.pop(names)) == sorted(expected.pop(names))
    assert written == expected


def test_additional_chat_templates(tmp_path: Path) -> None:
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("R")
    found = export(tmp_path, document(), tokenizer_config={"chat_template": "D"})
    assert (found["tokenizer.chat_template"], found["tokenizer.chat_template.rag"]) == ("D", "R")
    with pytest.raises(ValueError, match="neither a text nor a list"):
        export(tmp_path, document(), tokenizer_config={"chat_template": [{"name": "default"}]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"type": "Unigram"}}, "not a BPE"),
        ({"model": {"byte_fallback": True}}, "has no token <0x00>"),
        ({"model": {"ignore_merges": True}}, "with ignore_merges is not supported"),
        ({"model": {"end_of_word_suffix": "</w>"}}, "sets end_of_word_suffix"),
        ({"normalizer": {"type": "NFC"}}, "after the normalizer NFC is not supported"),
        ({"pre_tokenizer": None}, "pre-tokenizer None"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre-tokenizer Whitespace"),
        ({"pre_tokenizer": BYTES | {"add_prefix_space": True}}, "add_prefix_space"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split"}, BYTES]}}, "Split"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": []}}, "is not supported"),
        ({"added_tokens": [{"id": 0, "content": "<m>", "lstrip": True}]}, "'<m>' sets lstrip"),
        ({"model": {"vocab": {"a": 8}}}, "token 8, the model only 8"),
    ],
)
def test_other_tokenizers_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export(tmp_path, document(**change))


def spm_document(**changes: Any) -> dict[str, Any]:
    pieces = ["<unk>", "\u2581", "a", "b", "ab", "\u2581ab", *(f"<0x{byte:02X}>" for byte in range(256))]
    model = {
        "type": "BPE",
        "byte_fallback": True,
        "unk_token": "<unk>",
        "vocab": {piece: index for index, piece in enumerate(pieces)},
        "merges": ["a b", "\u2581 ab"],
    }
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    added = [{"id": 0, "content": "<unk>", "special": True}, {"id": 262, "content": "\u2581\u2581"}]
    base = {"model": model, "normalizer": replace, "pre_tokenizer": None, "added_tokens": added}
    return base | {"model": model | changes.pop("model", {})} | changes


def test_sentencepiece_scores_follow_the_merges(tmp_path: Path) -> None:
    found = export(tmp_path, spm_document(), vocab_size=264)
    assert (found["model"], found["add_space_prefix"]) == ("llama", False)
    assert found["scores"][4:6] == [0.0, -1.0]
    assert found["tokens"][262:] == ["  ", "[PAD263]"]
    assert found["token_type"] == [2, *[1] * 5, *[6] * 256, 4, 5]
    prepend = {"type": "Prepend", "prepend": "\u2581"}
    both = {"type": "Sequence", "normalizers": [prepend, spm_document()["normalizer"]]}
    assert export(tmp_path, spm_document(normalizer=both), vocab_size=264)["add_space_prefix"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"merges": ["a b"]}}, "lacks a merge to '\u2581ab'"),
        ({"normalizer": None}, "the normalizer None with the pre-tokenizer None is not supported"),
        ({"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "first"}}, "is not supported"),
    ],
)
def test_what_scores_or_spacing_can_not_say_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        export(tmp_path, spm_document(**change), vocab_size=264)


def test_tokens_that_swallow_white_space_are_named(tmp_path: Path) -> None:
    added = [{"id": 0, "content": "<s>", "special": True, "rstrip": True}]
    (tmp_path / "tokenizer.json").write_text(json.dumps(document(added_tokens=added)))
    assert tokenizer_metadata(tmp_path, 8)["phonelm.tokenizer.rstrip_token_ids"] == [0]


def test_added_tokens_beyond_the_model_are_text(tmp_path: Path) -> None:
    beyond = {"id": 8, "content": "<image>", "special": True, "rstrip": True}
    tokenizer = document()
    tokenizer["added_tokens"].append(beyond)
    lines: list[str] = []
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    progress = Progress()
    progress.line = lines.append  # type: ignore[method-assign]
    found = tokenizer_metadata(tmp_path, 8, progress)
    assert found == tokenizer_metadata(tmp_path, 8)
    assert "<image>" not in found["tokenizer.ggml.tokens"]
    assert len(found["tokenizer.ggml.tokens"]) == len(found["tokenizer.ggml.token_type"]) == 8
    assert "phonelm.tokenizer.rstrip_token_ids" not in found
    assert lines == ["left out, as the model has 8 tokens: <image>; as text they stay text"]
    # Some tokenizers have their added tokens in the vocabulary too.
    tokenizer["model"]["vocab"]["<image>"] = 8
    assert export(tmp_path, tokenizer)["tokens"] == found["tokenizer.ggml.tokens"]
    # A token of its own there means another tokenizer.
    tokenizer["added_tokens"].pop()
    with pytest.raises(ValueError, match="token 8, the model only 8"):
        export(tmp_path, tokenizer)


def test_missing_or_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no tokenizer\.json"):
        tokenizer_metadata(tmp_path, 8)
    with pytest.raises(ValueError, match="is not a JSON object"):
        export(tmp_path, document(), tokenizer_config=[1])
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        tokenizer_metadata(tmp_path, 8)


def test_byte_characters_are_those_of_transformers() -> None:
    convert = pytest.importorskip("transformers.convert_slow_tokenizer")
    assert dict(enumerate(byte_characters())) == convert.bytes_to_unicode()


def test_a_byte_vocabulary_needs_room() -> None:
    assert len(byte_tokenizer_metadata(300)["tokenizer.ggml.tokens"]) == 300
    with pytest.raises(ValueError, match="needs 257 tokens, not 256"):
        byte_tokenizer_metadata(256)
