"""Shards and windows against plain slicing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonelm.data.batches import Windows, batch_indices
from phonelm.data.shards import ShardWriter, open_shards, token_dtype


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(1, 7))
def test_windows_are_slices_of_each_array(sizes: list[int], length: int) -> None:
    arrays = [np.arange(100 * n, 100 * n + size, dtype=np.uint16) for n, size in enumerate(sizes)]
    expected = [
        array[start : start + length + 1].tolist()
        for array in arrays
        for start in range(0, len(array) - length, length)
    ]
    if not expected:
        with pytest.raises(ValueError, match="fewer than one window"):
            Windows(arrays, length)
        return
    windows = Windows(arrays, length)
    assert windows.rows(np.arange(len(windows))).tolist() == expected


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 2**31))
def test_each_epoch_takes_every_window_once(num_windows: int, batch: int, seed: int) -> None:
    places = [
        batch_indices(num_windows, position, batch, seed)
        for position in range(0, num_windows * 2 * batch, batch)
    ]
    order = np.concatenate(places)[: 2 * num_windows]
    assert sorted(order[:num_windows]) == list(range(num_windows))
    assert sorted(order[num_windows:]) == list(range(num_windows))
    again = batch_indices(num_windows, num_windows - 1, num_windows + 1, seed)
    assert again.tolist() == order[num_windows - 1 :].tolist()


def test_epochs_and_seeds_differ() -> None:
    first, second = batch_indices(100, 0, 100, 0), batch_indices(100, 100, 100, 0)
    assert first.tolist() != second.tolist()
    assert first.tolist() != batch_indices(100, 0, 100, 1).tolist()


@given(st.lists(st.lists(st.integers(0, 65535), max_size=20), max_size=8))
def test_shards_hold_what_was_written_and_are_cut_at_their_size(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[int]]
) -> None:
    folder: Path = tmp_path_factory.mktemp("shards")
    with ShardWriter(folder, "train", 65536, max_bytes=14) as writer:
        for part in parts:
            writer.append(part)
    written = [token for part in parts for token in part]
    assert writer.tokens == len(written)
    assert all(0 < shard.tokens <= 7 for shard in writer.shards)
    maps = open_shards(folder, writer.shards, 65536)
    assert [token for array in maps for token in array.tolist()] == written


def test_token_size_follows_the_vocabulary() -> None:
    assert (token_dtype(65536).itemsize, token_dtype(65537).itemsize) == (2, 4)


def test_a_cut_off_shard_is_named(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "train", 300) as writer:
        writer.append([1, 2, 3])
    (tmp_path / "train-00000.bin").write_bytes(b"123")
    with pytest.raises(ValueError, match=r"train-00000\.bin is missing or cut off"):
        open_shards(tmp_path, writer.shards, 300)
