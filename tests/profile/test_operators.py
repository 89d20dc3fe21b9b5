from __future__ import annotations

import itertools

import pytest

from phonelm.profile.conditions import TOLERANCE, usual_rate
from phonelm.profile.operators import Settings, measure_operators
from phonelm.profile.tables import Table, cost_tables
from phonelm.progress import Progress

SETTINGS = Settings(min_time_ms=1, isa="scalar", num_threads=2, probe_bytes=1000)
TABLE = Table("decode.norm", "norm", {"hidden": [64, 256]}, {"tokens": 1})


class Machine:
    """Answers by a formula; every third probe finds it at half speed, and it stays so till the next."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.probes = itertools.count()
        self.slow = False

    def ask(self, request: str) -> str:
        self.requests.append(request)
        if request.startswith("matmul type=q8_0 rows=512"):
            return "1e-3"
        if request.startswith("bandwidth"):
            self.slow = next(self.probes) % 3 == 2
            return str(1e10 / (1 + self.slow))
        hidden = float(request.split("hidden=")[1].split()[0])
        return str(hidden * 1e-9 * (1 + self.slow))


def test_only_the_usual_state_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonelm.profile.operators.PROBE_EVERY_S", 0.0)
    measured = measure_operators([TABLE], Machine().ask, SETTINGS, 60, Progress())
    assert measured.grids["decode.norm"].seconds == pytest.approx([64e-9, 256e-9])
    assert measured.conditions.bytes_per_s == pytest.approx(1e10)
    assert measured.conditions.usual_share == pytest.approx(2 / 3, abs=0.05)
    assert measured.num_passes == 15
    assert measured.spread == pytest.approx(0)


def test_a_request_says_sizes_and_settings() -> None:
    machine = Machine()
    measure_operators([TABLE], machine.ask, SETTINGS, 0, Progress())
    assert "norm tokens=1 hidden=256 min_ms=1 isa=scalar threads=2" in machine.requests
    assert "bandwidth bytes=1000 min_ms=0 isa=scalar threads=2" in machine.requests


def test_a_refused_request_is_said_with_its_reason() -> None:
    def ask(request: str) -> str:
        return "1e9" if request.startswith(("bandwidth", "matmul")) else "error: hidden is '64'"

    with pytest.raises(ValueError, match=r"norm tokens=1 hidden=64 .*: hidden is '64'"):
        measure_operators([TABLE], ask, SETTINGS, 1, Progress())


def test_the_usual_rate_is_where_most_are() -> None:
    assert usual_rate([1.0, 5.0, 5.1, 5.2, 9.0, 9.2]) == 5.1
    assert usual_rate([3.0]) == 3.0
    assert usual_rate([1.0, 1 + TOLERANCE]) == 1 + TOLERANCE
    with pytest.raises(ValueError, match="no rate"):
        usual_rate([])


@pytest.mark.parametrize("quick", [True, False])
def test_the_tables_ask_for_what_the_protocol_knows(quick: bool) -> None:
    """The smallest point of every table, on this machine."""
    from phonelm import _native

    ask = _native.OperatorBench().answer
    for table in cost_tables(quick, 1, 2**20, "q4_0", "q8_0"):
        request = f"{table.request(next(iter(table.points())))} min_ms=0.1 isa=scalar threads=1"
        assert float(ask(request)) > 0, request
