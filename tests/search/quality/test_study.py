from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from phonelm.search.quality.features import FEATURES, features
from phonelm.search.quality.study import StudyConfig, even_sample, planned_runs
from phonelm.search.space import shapes_of


def test_all_shapes_of_a_size_have_its_parameters() -> None:
    study = StudyConfig(params=(1_000_000, 3_000_000), shapes=(8, 5), tokens=(300_000,), repeats=(2, 0))
    runs = planned_runs(study)
    assert runs == planned_runs(study)
    assert len({run.name for run in runs}) == len(runs) == 8 + 5 + 2
    for run in runs:
        assert int(shapes_of(run.decoder).total[0]) == pytest.approx(run.params, rel=study.tolerance)
    firsts = [run.decoder.model_dump_json() for run in runs if run.seed == study.seed]
    assert len(set(firsts)) == len(firsts)
    again = [run for run in runs if run.seed != study.seed]
    assert [run.decoder for run in again] == [run.decoder for run in runs[:2]]


def test_the_sample_reaches_the_corners_of_the_space() -> None:
    runs = planned_runs(StudyConfig(params=(10_000_000,), shapes=(16,)))
    shapes = [run.decoder for run in runs]
    aspects = [shape.hidden_size / shape.num_layers for shape in shapes]
    assert max(aspects) > 10 * min(aspects)
    layers = [shape.layers[0] for shape in shapes]
    assert {layer.ffn.gated for layer in layers} == {True, False}
    assert {layer.ffn.activation for layer in layers} == {"silu", "relu", "relu2"}
    assert len({layer.mixer.num_heads // layer.mixer.num_kv_heads for layer in layers}) >= 3


@given(st.integers(1, 20), st.integers(0, 1000))
def test_even_samples_are_different_rows(count: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(20, 3))
    points[:, 1] = 4
    chosen = even_sample(points, count)
    assert len(set(chosen.tolist())) == count


def test_features_are_ratios() -> None:
    study = StudyConfig(params=(1_000_000,), shapes=(4,), repeats=(0,))
    decoder = planned_runs(study)[0].decoder
    values = dict(zip(FEATURES, features(shapes_of(decoder))[0].tolist(), strict=True))
    assert values["aspect"] == pytest.approx(np.log2(decoder.hidden_size / decoder.num_layers))
    mixer, ffn = decoder.layers[0].mixer, decoder.layers[0].ffn
    matrices = 3 if ffn.gated else 2
    share = matrices * ffn.intermediate_size / (mixer.head_dim * 2 * (mixer.num_heads + mixer.num_kv_heads))
    assert values["ffn share"] == pytest.approx(np.log2(share), abs=1e-6)
    assert values["gated silu"] == (ffn.activation == "silu")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shapes": (2,)}, "at least 4"),
        ({"params": (1_000_000, 1_000_000)}, "twice"),
        ({"shapes": (8, 8, 8)}, "3 numbers for 2 sizes"),
        ({"tokens": ("10k",)}, "fewer than 20 steps"),
        ({"params": ("many",)}, "not a number"),
        ({"params": ()}, "positive"),
    ],
)
def test_studies_that_teach_nothing_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StudyConfig.model_validate(settings)


def test_sizes_without_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="nearest has"):
        planned_runs(StudyConfig(params=(1000,)))
    with pytest.raises(ValueError, match="take fewer shapes"):
        planned_runs(StudyConfig(params=(250_000,), shapes=(5000,)))


def test_a_study_is_read_as_it_was_written(tmp_path: Path) -> None:
    study = StudyConfig.model_validate({"params": ("3M", "500k"), "tokens": ("1M",)})
    study.save(tmp_path)
    assert StudyConfig.load(tmp_path) == study
    assert [size.params for size in study.sizes()] == [500_000, 3_000_000]
    with pytest.raises(ValueError, match="no study"):
        StudyConfig.load(tmp_path / "elsewhere")
