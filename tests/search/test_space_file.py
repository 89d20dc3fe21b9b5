from __future__ import annotations

from pathlib import Path

import pytest

from phonelm.search import SearchConfig, SpaceConfig, load_space


def written(folder: Path, text: str) -> Path:
    path = folder / "space.yaml"
    path.write_text(text)
    return path


def test_what_a_file_leaves_out_is_the_shipped_space(tmp_path: Path) -> None:
    space = load_space(written(tmp_path, "layers: {min: 8, max: 9}\nvocab: [32000, 49152]\n"))
    assert space.layers.values() == [8, 9]
    assert space.vocab == [32000, 49152]
    assert space.hidden == SpaceConfig().hidden


def test_a_search_may_name_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, "layers: {min: 8, max: 9}\n")
    config = SearchConfig.model_validate({"params": "100M", "space": str(path)})
    assert config.space == load_space(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("layers: {min: 8\nhidden: 3", r"space.yaml:2: not YAML"),
        ("vocab: [1024]\nleyers: {min: 8}", r"space.yaml:2: unknown key `leyers`; did you mean `layers`"),
        ("vocab: [1024]\nlayers:\n  min: 9\n  max: 8", r"space.yaml:2: layers: max 9? ?8 is below min 9"),
        ("head_dim: [32,\n  40]", r"space.yaml:1: head_dim: 40 is not one of the multiples of 16"),
        ("kv_groups:\n- 1\n- 0", r"space.yaml:3: kv_groups.1: "),
        (
            "layers: {min: 2, max: 4}\nlayers: {min: 3, max: 4}",
            r"space.yaml:2: the key `layers` is there twice",
        ),
        ("attention_ratio: [0.001, 0.002]", "leaves no heads"),
        ("ffn: []", r"space.yaml:1: ffn"),
        ("just words", "holds no space"),
        ("", "holds no space"),
        ("a: \x00", "not YAML"),
    ],
)
def test_mistakes_are_one_line_with_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        load_space(written(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "space.yaml" in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match="not UTF-8"):
        load_space(tmp_path / "space.yaml")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_space(tmp_path / "none.yaml")
