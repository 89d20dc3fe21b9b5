from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from phonelm.arch import DecoderConfig
from phonelm.devices import kernels_fingerprint, machine_info
from phonelm.profile import DeviceProfile
from phonelm.progress import Progress
from phonelm.search import Design, Request, SearchConfig, predict, search, verify
from phonelm.search.measure import WholeModel
from phonelm.search.verification import agreement, rank_correlation
from synthetic import synthetic_profile

SPACE = {"hidden": {"min": 64, "max": 512, "step": 64}, "head_dim": [32, 64], "tied": [True]}


def profile_of_here() -> DeviceProfile:
    return synthetic_profile().model_copy(
        update={"machine": machine_info(), "kernels": kernels_fingerprint()}
    )


def small_design(profile: DeviceProfile) -> Design:
    settings = {"params": "4.7M", "vocab_size": 4096, "space": SPACE}
    return search(SearchConfig.model_validate(settings), profile)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[DecoderConfig]:
    """Measures every model as a tenth slower than predicted, and remembers which."""
    seen: list[DecoderConfig] = []

    def measure(
        configs: Sequence[DecoderConfig], request: Request, profile: DeviceProfile, **_: Any
    ) -> list[WholeModel]:
        seen.extend(configs)
        foretold = [predict(config, profile, request) for config in configs]
        return [WholeModel(1.1 * p.decode_ms, 1.1 * p.prefill_ms, 0.02, 0.03, 1.0) for p in foretold]

    monkeypatch.setattr("phonelm.search.verifier.measure_models", measure)
    return seen


def test_the_choice_the_front_a_sample_and_the_published_are_measured(measured: list[DecoderConfig]) -> None:
    profile = profile_of_here()
    design = small_design(profile)
    found = verify(design, [profile], 16).verification
    assert found is not None
    roles = [row.role for row in found.rows]
    assert roles[0] == "chosen"
    assert 5 <= roles.count("front") <= 7
    assert roles.count("sample") == 8
    assert {one.name for one in design.conventional} <= {*roles}
    assert len(measured) == len(set(measured)) == len(found.rows)
    for of_phase in (found.decode, found.prefill):
        # Points of the front are kept with five digits.
        assert of_phase.median_error == pytest.approx(1 - 1 / 1.1, abs=1e-3)
        assert of_phase.rank_correlation == pytest.approx(1.0)


def test_a_verified_design_comes_back_as_it_was_saved(measured: list[DecoderConfig], tmp_path: Any) -> None:
    profile = profile_of_here()
    design = verify(small_design(profile), [profile], 4)
    design.save(tmp_path / "design.json")
    assert Design.load(tmp_path / "design.json") == design


def test_a_profile_of_another_machine_is_refused_with_the_difference() -> None:
    profile = synthetic_profile()
    with pytest.raises(ValueError, match=r"another machine .*model Formula there"):
        verify(small_design(profile), [profile], 4)


def test_a_profile_of_other_kernels_is_refused() -> None:
    profile = profile_of_here().model_copy(update={"kernels": "old"})
    with pytest.raises(ValueError, match="old there"):
        verify(small_design(profile), [profile], 4)


def test_errors_are_shares_of_what_was_measured() -> None:
    found = agreement([1.1, 2.0, 2.7], [1.0, 2.0, 3.0])
    assert found.median_error == pytest.approx(0.1)
    assert found.worst_error == pytest.approx(0.1)
    assert found.rank_correlation == pytest.approx(1.0)
    assert agreement([1.0, 2.0], [2.0, 1.0]).rank_correlation is None
    with pytest.raises(ValueError, match="pairs"):
        agreement([], [])


def test_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 6, 40), rng.integers(0, 6, 40)

    def ranks(values: np.ndarray) -> list[float]:
        return [float(np.mean([i for i, v in enumerate(np.sort(values)) if v == x])) for x in values]

    expected = np.corrcoef(ranks(a), ranks(b))[0, 1]
    assert rank_correlation(a.tolist(), b.tolist()) == pytest.approx(expected)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


def test_the_comparison_is_predicted_until_it_is_measured(
    measured: list[DecoderConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = profile_of_here()
    design = small_design(profile)
    other = design.best_conventional
    assert other is not None
    predicted = other.candidate.decode_ms / design.chosen.decode_ms
    assert f"It is predicted to decode {predicted:.2f} times" in design.comparison

    def measure(configs: Sequence[DecoderConfig], *_: Any, **__: Any) -> list[WholeModel]:
        times = {design.chosen.config: 2.0, other.candidate.config: 3.0}
        return [WholeModel(times.get(config, 9.0), 10.0, 0.0, 0.0, 1.0) for config in configs]

    monkeypatch.setattr("phonelm.search.verifier.measure_models", measure)
    verified = verify(design, [profile], 3)
    assert f"Measured, it decodes 1.50 times (predicted {predicted:.2f})" in verified.comparison
    assert "prefills 1.00 times" in verified.comparison
    assert verified.verification is not None
    losses = {row.role: row.loss_percent for row in verified.verification.rows}
    assert losses["chosen"] == design.chosen.loss_percent
    assert losses["sample"] is not None


def test_the_number_of_models_is_said_before_they_are_measured(measured: list[DecoderConfig]) -> None:
    lines: list[str] = []
    progress = Progress()
    progress.line = lines.append  # type: ignore[method-assign]
    profile = profile_of_here()
    found = verify(small_design(profile), [profile], 3, progress=progress).verification
    assert found is not None
    assert lines[0].startswith(f"  {len(found.rows)} whole models to measure, in ")


def test_models_measured_in_another_state_of_the_machine_are_warned_of(
    measured: list[DecoderConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = profile_of_here()
    quiet = verify(small_design(profile), [profile], 3).verification
    assert quiet is not None
    assert quiet.warning == ""
    shares = iter([0.1, 0.9, 0.2])

    def measure(configs: Sequence[DecoderConfig], *_: Any, **__: Any) -> list[WholeModel]:
        return [WholeModel(1.0, 1.0, 0.0, 0.0, next(shares, 1.0)) for _ in configs]

    monkeypatch.setattr("phonelm.search.verifier.measure_models", measure)
    found = verify(small_design(profile), [profile], 3).verification
    assert found is not None
    assert f"2 of {len(found.rows)} models had few samples" in found.warning
