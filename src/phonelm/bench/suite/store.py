"""The suite's file: one JSON document per line, rows of any machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from phonelm.bench.suite.result import SuiteRow
from phonelm.devices import MachineInfo
from phonelm.files import write_text
from phonelm.validation import message_of
from phonelm.words import counted


@dataclass(frozen=True)
class Device:
    """Rows of one machine, kernels and settings: those that may be compared."""

    machine: MachineInfo
    kernels: str
    settings: tuple[tuple[str, int | str], ...]
    rows: tuple[SuiteRow, ...]

    @property
    def name(self) -> str:
        """The machine, and what was forced on it."""
        forced = [
            counted(int(value), "thread") if name == "threads" else str(value)
            for name, value in self.settings
        ]
        return ", ".join([self.machine.model, *forced])

    @property
    def made_at(self) -> str:
        """When the latest row was measured."""
        return max(row.made_at for row in self.rows)


def read_rows(path: Path | str) -> list[SuiteRow]:
    """All rows of a file; none where there is no file.

    Raises `ValueError` for what is no plain file, and naming the line that is broken.
    """
    path = Path(path)
    if not path.exists():
        return []
    if not path.is_file():
        raise ValueError(f"{path} is no file that keeps rows; give another path")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a suite file ({error.reason}); give another") from error
    return [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _row(path: Path, number: int, line: str) -> SuiteRow:
    try:
        return SuiteRow.model_validate(json.loads(line))
    except json.JSONDecodeError as error:
        problem = str(error)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(str(part) for part in first['loc'])}: {message_of(first)}"
    raise ValueError(
        f"{path}, line {number}, is not a row of this version of the suite ({problem}); "
        "delete the line or the file, and measure again with: phonelm bench --suite slm"
    )


def append_row(path: Path | str, row: SuiteRow) -> None:
    """Add a row to what the file holds by now; the file is whole at any time."""
    lines = [known.model_dump_json() for known in read_rows(path) if known.key != row.key]
    write_text(path, "\n".join([*lines, row.model_dump_json(), ""]))


def devices_of(rows: Sequence[SuiteRow]) -> list[Device]:
    """The rows by what may be compared, the latest measured last."""
    groups: dict[tuple[str, str, str], list[SuiteRow]] = {}
    for row in rows:
        group = (row.machine.fingerprint, row.kernels, repr(sorted(row.settings.items())))
        groups.setdefault(group, []).append(row)
    devices = [
        Device(of_one[0].machine, of_one[0].kernels, tuple(sorted(of_one[0].settings.items())), tuple(of_one))
        for of_one in groups.values()
    ]
    return sorted(devices, key=lambda device: device.made_at)


def choose_device(rows: Sequence[SuiteRow], here: MachineInfo, name: str | None = None) -> Device:
    """The rows to draw: of the machine whose name contains `name`, else of this one, else of the only one.

    Where a machine has rows of several kernels or settings, the latest. Raises `ValueError` where there are
    no rows, or several other machines and no name.
    """
    devices = devices_of(rows)
    if not devices:
        raise ValueError("the suite has no rows yet; run: phonelm bench --suite slm")
    if name is not None:
        candidates = [device for device in devices if name.lower() in device.name.lower()]
    else:
        candidates = [device for device in devices if device.machine == here] or devices
    machines = sorted({device.machine.model for device in candidates or devices})
    if not candidates:
        raise ValueError(f"no machine in the file is called {name!r}; it has: {'; '.join(machines)}")
    if len({device.machine.fingerprint for device in candidates}) > 1:
        raise ValueError(
            f"the rows are of several machines; choose one with --machine: {'; '.join(machines)}"
        )
    return candidates[-1]
