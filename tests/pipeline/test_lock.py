from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from phonelm.pipeline.lock import run_lock


def test_a_second_build_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    with run_lock(tmp_path):  # noqa: SIM117  the inner one must fail
        with pytest.raises(ValueError, match=f"process {os.getpid()} is at work"), run_lock(tmp_path):
            pass


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from phonelm.pipeline.lock import run_lock\n"
        "with run_lock(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert (tmp_path / ".lock").read_text().strip().isdigit()
    with run_lock(tmp_path):
        pass
