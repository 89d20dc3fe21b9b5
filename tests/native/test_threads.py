"""The thread team, and how many of its threads a model uses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_files import write_machine

from phonelm import _native

ROOT = Path(__file__).parents[2]
PROMPT = [(7 * i) % 256 for i in range(40)]


def rounds_of(num_active: int, num_rounds: int) -> list[int]:
    value = 1
    for _ in range(num_rounds):
        value = value * num_active % 1009
    return [value] * num_active


@settings(max_examples=20, deadline=None)
@given(
    num_threads=st.integers(1, 9),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=12),
    num_rounds=st.integers(1, 9),
)
def test_the_active_threads_meet_at_each_barrier(
    num_threads: int, shares: list[float], num_rounds: int
) -> None:
    num_active = [1 + round(share * (num_threads - 1)) for share in shares]
    sums = _native.team_sums(num_threads, num_active, num_rounds)
    assert sums == [rounds_of(active, num_rounds) for active in num_active]


@pytest.mark.parametrize("num_threads", [1, 2, 3, 8])
def test_logits_do_not_depend_on_the_number_of_threads(tiny_gguf: Path, num_threads: int) -> None:
    def logits(model: _native.Model) -> np.ndarray:
        session = model.new_session(64)
        session.prefill(PROMPT)
        session.prefill([65])
        return session.logits()

    model = _native.Model.load(str(tiny_gguf), num_threads=num_threads)
    assert (model.num_threads, model.decode_threads, model.prefill_threads) == (num_threads,) * 3
    alone = _native.Model.load(str(tiny_gguf), num_threads=1)
    np.testing.assert_allclose(logits(model), logits(alone), rtol=0, atol=1e-3)


def test_the_number_of_threads_is_measured_where_none_is_given(tiny_gguf: Path) -> None:
    model = _native.Model.load(str(tiny_gguf))
    assert model.num_threads == min(_native.num_usable_cores(), _native.MAX_THREADS)
    candidates = _native.thread_candidates(_native.num_physical_cores(), model.num_threads)
    assert model.decode_threads in candidates
    assert model.prefill_threads in candidates


@pytest.mark.parametrize(
    ("num_physical", "num_cores", "expected"),
    [
        (1, 1, [1]),
        (2, 2, [1, 2]),
        (6, 12, [1, 2, 4, 6, 8, 12]),
        (8, 16, [1, 2, 4, 8, 16]),
        (24, 24, [1, 2, 4, 8, 16, 24]),
    ],
)
def test_candidates(num_physical: int, num_cores: int, expected: list[int]) -> None:
    assert _native.thread_candidates(num_physical, num_cores) == expected


@pytest.mark.parametrize("num_threads", [0, -1, 257, 1000])
def test_a_number_of_threads_that_makes_no_sense_is_refused(tiny_gguf: Path, num_threads: int) -> None:
    with pytest.raises(ValueError, match=f"^threads is {num_threads}; take 1 to 256$"):
        _native.Model.load(str(tiny_gguf), num_threads=num_threads)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_threads_that_the_system_does_not_give_are_refused(tiny_gguf: Path) -> None:
    script = f"""
import resource
from phonelm import _native
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), resource.RLIM_INFINITY))
try:
    _native.Model.load({str(tiny_gguf)!r}, num_threads=256)
except ValueError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"the system does not give 256 threads; take fewer\n", run.stdout)


VERSION_2 = {
    "proc/self/cgroup": "0::/a/b\n",
    "sys/fs/cgroup/a/cpu.max": "90000 100000\n",
    "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
}
VERSION_1 = {
    "proc/self/cgroup": "4:memory:/x\n2:cpu,cpuacct:/outside\n0::/\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
}


@pytest.mark.parametrize("files", [VERSION_2, VERSION_1])
def test_a_control_group_may_grant_less_than_the_cores(tmp_path: Path, files: dict[str, str]) -> None:
    root = write_machine(tmp_path, files)
    assert (_native.num_usable_cores(root), _native.num_physical_cores(root)) == (1, 1)


def test_without_a_quota_all_cores_are_usable(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "1:cpu:/\n0::/\n",
        "sys/fs/cgroup/cpu.max": "max 100000\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }
    assert _native.num_usable_cores(write_machine(tmp_path, files)) == len(os.sched_getaffinity(0))


def test_the_second_threads_of_a_core_do_not_count(tmp_path: Path) -> None:
    cpus = os.sched_getaffinity(0)
    topology = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    root = write_machine(tmp_path, {topology.format(cpu): "0-255\n" for cpu in cpus})
    assert _native.num_physical_cores(root) == 1
    assert _native.num_physical_cores(str(tmp_path / "nothing")) == len(cpus)


@pytest.mark.slow
def test_no_data_race(tmp_path: Path) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    sources = ["tests/native/stress_threads.cpp"]
    parts = ("threads/pool", "threads/cores", "core/cgroup", "system/linux_machine")
    sources += [f"native/{name}.cpp" for name in parts]
    program = str(tmp_path / "stress")
    flags = ["-std=c++20", "-O1", "-g", "-fsanitize=thread", "-pthread", "-Inative"]
    built = subprocess.run(
        [compiler, *flags, *sources, "-o", program], cwd=ROOT, capture_output=True, text=True
    )
    if "tsan" in built.stderr and built.returncode:
        pytest.skip("needs ThreadSanitizer")
    assert built.returncode == 0, built.stderr
    run = subprocess.run([program, "2000"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
