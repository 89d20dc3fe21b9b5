from __future__ import annotations

from pathlib import Path

import pytest

from phonelm.bench.suite import choose_device, devices_of, read_rows, select
from phonelm.bench.suite.store import append_row
from suite_rows import MACHINE, synthetic_row

FIRST, SECOND = select().entries[:2]
OTHER = MACHINE.model_copy(update={"model": "Other CPU"})
THIRD = MACHINE.model_copy(update={"model": "Third CPU"})


def test_rows_come_back_and_a_new_one_takes_the_place_of_its_like(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "rows.jsonl"
    rows = [synthetic_row(FIRST), synthetic_row(SECOND), synthetic_row(FIRST, load_s=9.0)]
    for row in rows:
        append_row(path, row)
    assert read_rows(path) == [rows[1], rows[2]]
    assert read_rows(tmp_path / "nothing.jsonl") == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"not json", "Expecting value"),
        (b"{}", "Field required"),
        (b"[1]", "valid dictionary"),
        (b"\xff\xfe\x00", "is not a suite file"),
    ],
)
def test_a_broken_file_names_the_line(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    append_row(path, synthetic_row(FIRST))
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(ValueError, match=message) as raised:
        read_rows(path)
    assert str(path) in str(raised.value)
    if line != b"\xff\xfe\x00":
        assert "line 2" in str(raised.value)
        assert "phonelm bench --suite slm" in str(raised.value)


def test_a_row_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    append_row(path, synthetic_row(FIRST))
    path.write_text(path.read_text().replace('"version":1', '"version":2'))
    with pytest.raises(ValueError, match="version: Input should be 1"):
        read_rows(path)


def test_rows_of_different_machines_kernels_and_settings_stay_apart() -> None:
    rows = [
        synthetic_row(FIRST),
        synthetic_row(SECOND),
        synthetic_row(FIRST, machine=OTHER),
        synthetic_row(FIRST, kernels="newer", made_at="2026-02-02T00:00:00+0000"),
        synthetic_row(FIRST, settings={"threads": 1}),
    ]
    assert sorted(len(device.rows) for device in devices_of(rows)) == [1, 1, 1, 2]
    assert len({row.key for row in rows}) == len(rows)
    assert choose_device(rows, MACHINE).kernels == "newer"
    assert choose_device(rows, OTHER).machine == OTHER
    assert choose_device(rows, MACHINE, "other").machine == OTHER
    assert choose_device(rows, MACHINE, "1 thread").settings == (("threads", 1),)


def test_other_machines_are_drawn_only_if_there_is_no_doubt_which() -> None:
    alone = [synthetic_row(FIRST, machine=OTHER)]
    assert choose_device(alone, MACHINE).machine == OTHER
    both = [*alone, synthetic_row(FIRST, machine=THIRD)]
    with pytest.raises(
        ValueError, match=r"several machines; choose one with --machine: Other CPU; Third CPU"
    ):
        choose_device(both, MACHINE)
    with pytest.raises(ValueError, match=r"no machine in the file is called 'Phone'; it has: Other CPU"):
        choose_device(alone, MACHINE, "Phone")
    with pytest.raises(ValueError, match="no rows yet; run: phonelm bench --suite slm"):
        choose_device([], MACHINE)
