from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_hub import FakeHub, running_hub
from phonelm.engine.hub import transfer
from phonelm.engine.hub.transfer import Patience
from progress_lines import Lines


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A hub with one repository, asked without a token and with little patience."""
    monkeypatch.setattr(transfer, "PATIENCE", Patience(stall_s=0.3, retries=2, pause_s=0.01))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-token"))
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with running_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running
