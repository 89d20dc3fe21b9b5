"""Special tokens of converted folders, against what transformers takes from the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phonelm.formats.tokenizer_export import tokenizer_metadata
from tokenizer_folder import write_tokenizer

VOCAB = 280
KINDS = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
LONG = {"content": END, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
TYPED = {"__type": "AddedToken", **LONG}
OLD = {"added_tokens_decoder": None}
CONFIG = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def make(folder: Path, files: dict[str, dict[str, Any]]) -> Path:
    """A folder of a tokenizer whose JSON files have these keys changed; None takes one away."""
    write_tokenizer(folder, VOCAB)
    for name, changes in files.items():
        path = folder / f"{name}.json"
        document = json.loads(path.read_text()) if path.is_file() else {}
        # Removes a key where null would be another thing than none.
        document |= {key: None if value == "null" else value for key, value in changes.items()}
        kept = {key: value for key, value in document.items() if changes.get(key, 0) is not None}
        path.write_text(json.dumps(kept))
    return folder


def found(folder: Path) -> dict[str, Any]:
    metadata = tokenizer_metadata(folder, VOCAB)
    return {key.removeprefix("tokenizer.ggml."): value for key, value in metadata.items()}


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"tokenizer_config": {"bos_token": TEXT, "pad_token": TYPED, "unk_token": TEXT}},
        {"tokenizer_config": {"bos_token": None}},
        {"tokenizer_config": {"bos_token": "null", "pad_token": "null"}},
        {"tokenizer_config": {"eos_token": TEXT}, "generation_config": {"eos_token_id": [2, 1]}},
        {"tokenizer_config": {"eos_token": TYPED}, "generation_config": {"eos_token_id": [0, 1, 2]}},
        {"tokenizer_config": OLD, "special_tokens_map": {"bos_token": TEXT, "eos_token": LONG}},
        {"tokenizer_config": {**OLD, "eos_token": TEXT}, "special_tokens_map": {"eos_token": START}},
        {"tokenizer_config": {"added_tokens_decoder": {}}, "special_tokens_map": {"eos_token": START}},
    ],
)
def test_templates_print_what_they_print_in_transformers(
    tmp_path: Path, files: dict[str, dict[str, Any]]
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = make(tmp_path, {"config": CONFIG, **files})
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(folder).special_tokens_map
    ours = found(folder)
    for name, key in KINDS.items():
        token = ours.get(f"{key}_token_id")
        assert (None if token is None else ours["tokens"][token]) == theirs.get(f"{name}_token")


@pytest.mark.parametrize(
    ("files", "ends"),
    [
        ({"config": CONFIG}, [2]),
        ({"config": {"eos_token_id": [0, 1, 5, 2]}}, [2, 0, 1, 5]),
        ({"generation_config": {"eos_token_id": [0, 1]}, "config": {"eos_token_id": 7}}, [2, 0, 1]),
        ({"generation_config": {"eos_token_id": [6, 999, -1, 7, 8]}}, [2, 6, 7, 8]),
        ({"generation_config": {"temperature": 1.0}, "config": {"eos_token_id": 9}}, [2, 9]),
    ],
)
def test_every_end_is_kept(tmp_path: Path, files: dict[str, dict[str, Any]], ends: list[int]) -> None:
    ours = found(make(tmp_path, files))
    keys = [ours[f"{key}_token_id"] for key in ("eos", "eot", "eom") if f"{key}_token_id" in ours]
    assert keys + ours.get("phonelm.tokenizer.stop_token_ids", []) == ends


def test_a_token_put_before_a_text_is_its_begin(tmp_path: Path) -> None:
    folder = make(tmp_path, {"tokenizer_config": {"bos_token": None}, "config": CONFIG})
    assert "bos_token_id" not in found(folder)
    document = json.loads((folder / "tokenizer.json").read_text())
    first = [{"SpecialToken": {"id": TEXT, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    document["post_processor"] = {"type": "TemplateProcessing", "single": first}
    (folder / "tokenizer.json").write_text(json.dumps(document))
    assert (found(folder)["bos_token_id"], found(folder)["add_bos_token"]) == (0, True)
