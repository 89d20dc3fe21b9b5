from __future__ import annotations

import json
from pathlib import Path

import pytest

from phonelm import _native
from phonelm.devices import MachineInfo, kernels_fingerprint, machine_info


def test_this_machine_has_cores_and_instruction_sets() -> None:
    machine = machine_info()
    assert machine.num_cores >= 1
    assert machine.isas[0] == "scalar"
    assert machine.fingerprint == machine_info().fingerprint


def test_another_number_of_cores_is_another_machine() -> None:
    machine = machine_info()
    other = machine.model_copy(update={"num_cores": machine.num_cores + 1})
    assert other.fingerprint != machine.fingerprint


def test_fields_of_the_answer_that_are_not_of_the_machine_are_passed_over() -> None:
    answer = json.loads(_native.OperatorBench().answer("machine"))
    assert MachineInfo.from_answer(json.dumps({**answer, "later": 1})) == machine_info()


def test_other_kernels_have_another_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = kernels_fingerprint()
    rebuilt = tmp_path / "module.so"
    rebuilt.write_bytes(Path(_native.__file__).read_bytes() + b"more")
    monkeypatch.setattr(_native, "__file__", str(rebuilt))
    assert kernels_fingerprint() != ours
