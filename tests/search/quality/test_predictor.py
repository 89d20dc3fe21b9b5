from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from phonelm.search import SpaceConfig, enumerate_shapes
from phonelm.search.quality import Predictor
from phonelm.search.quality.fitting import fit_predictor, within_sizes
from phonelm.search.quality.predictor import SHIPPED_TABLE
from phonelm.search.quality.regression import rank_correlation
from phonelm.search.quality.runs import RunRecord, make_record, read_table, write_table
from phonelm.search.quality.study import STUDY_SPACE, StudyConfig, planned_runs
from phonelm.search.space import Shapes

MakeRuns = Callable[..., list[RunRecord]]


@pytest.fixture(scope="module")
def predictor(made_up: MakeRuns) -> Predictor:
    return fit_predictor(made_up())


@pytest.fixture(scope="module")
def unseen() -> Shapes:
    """All shapes of 3M parameters: none was in the study."""
    return enumerate_shapes(STUDY_SPACE, 2048, 3_000_000, 0.005)


def test_a_known_law_is_recovered(
    predictor: Predictor, unseen: Shapes, law: Callable[[Shapes], np.ndarray]
) -> None:
    mean, std = predictor.excess_loss(unseen)
    truth = law(unseen)
    best = int(np.argmin(mean))
    error = np.log1p(mean) - (truth - truth[best])
    assert rank_correlation(mean, truth) > 0.95
    assert np.abs(error).max() < 0.02
    assert np.mean(np.abs(error) <= 2 * std + 1e-9) > 0.9
    assert mean.dtype == std.dtype == np.float64


def test_the_best_shape_has_no_excess_and_no_doubt(predictor: Predictor, unseen: Shapes) -> None:
    mean, std = predictor.excess_loss(unseen)
    best = int(np.argmin(mean))
    assert (mean[best], std[best]) == (0, 0)
    assert mean.min() == 0
    assert (np.delete(std, best) > 0).all()
    assert len(predictor.excess_loss(unseen.take(slice(0, 0)))[0]) == 0


def test_shapes_compare_the_same_from_both_sides(predictor: Predictor, unseen: Shapes) -> None:
    one, other = unseen.take(slice(0, 1)), unseen.take(slice(40, 41))
    there, _ = predictor.excess_loss(one, relative_to=other)
    back, _ = predictor.excess_loss(other, relative_to=one)
    assert (1 + there[0]) * (1 + back[0]) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="give one"):
        predictor.excess_loss(one, relative_to=unseen)


def test_parameters_spent_on_an_untied_head_are_worth_nothing(predictor: Predictor) -> None:
    space = SpaceConfig(tied=[True, False])
    shapes = enumerate_shapes(space, 49152, 100_000_000, 0.002)
    mean, _ = predictor.excess_loss(shapes)
    best = shapes.take(slice(int(np.argmin(mean)), int(np.argmin(mean)) + 1))
    assert best.tied.all()
    few = enumerate_shapes(STUDY_SPACE, 2048, 1_000_000, 0.002)
    same = replace(few, vocab_size=4096)
    assert np.allclose(predictor.excess_loss(few)[0], predictor.excess_loss(same)[0])


def test_doubt_grows_outside_of_what_was_trained(predictor: Predictor, unseen: Shapes) -> None:
    reference = unseen.take(slice(0, 1))
    means, stds = [], []
    for layers in (64, 256, 1024):
        extreme = replace(reference, layers=np.array([layers], dtype=np.int32))
        mean, std = predictor.excess_loss(extreme, relative_to=reference)
        means.append(np.log1p(mean[0]) + 0.076 * np.log(layers))
        stds.append(std[0] / (1 + mean[0]))
    # The mean stays at the border but for the parameters (whose exponent the runs may have moved).
    assert np.ptp(means) < 0.02 * np.log(16) * 2
    assert stds[0] < stds[1] < stds[2]


def test_half_of_what_ratios_do_remains_at_ten_times_the_size(predictor: Predictor) -> None:
    near = enumerate_shapes(STUDY_SPACE, 2048, 3_000_000, 0.001).take(slice(0, 2))
    scaled = {
        name: 16 * getattr(near, name) for name in ("hidden", "layers", "heads", "kv_heads", "intermediate")
    }
    far = replace(near, **scaled)
    assert (far.total > 3e8).all()
    effects, stds = [], []
    for shapes in (near, far):
        one, other = shapes.take(slice(0, 1)), shapes.take(slice(1, 2))
        mean, std = predictor.excess_loss(one, relative_to=other)
        size = predictor.coefficients[0] * np.log(other.non_embedding[0] / one.non_embedding[0])
        effects.append(np.log1p(mean[0]) - size)
        stds.append(std[0])
    decades = np.log10(far.total[1] / 10_000_000)
    assert effects[1] == pytest.approx(0.5**decades * effects[0], rel=1e-3)
    assert stds[1] > stds[0]


def test_what_is_reported_is_what_left_out_shapes_say(made_up: MakeRuns) -> None:
    good, noisy = (fit_predictor(made_up(shapes=12, noise=noise)).evidence for noise in (0.002, 0.5))
    assert good.rank_correlation > 0.85
    assert good.rank_interval[0] <= good.rank_correlation <= good.rank_interval[1]
    assert good.seed_noise == pytest.approx(0.002, rel=0.9)
    assert good.left_out_error < 0.02 < noisy.left_out_error
    assert noisy.rank_correlation < 0.7
    assert good.larger_rank_correlation is not None
    assert good.larger_rank_correlation > 0.3


def test_sizes_count_by_their_shapes() -> None:
    sizes = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2])
    predicted = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1, 1, 2.0])
    assert within_sizes(predicted, np.arange(11), sizes) == pytest.approx((4 - 5) / 9)


def test_saved_and_loaded_it_says_the_same(predictor: Predictor, unseen: Shapes, tmp_path: Path) -> None:
    predictor.save(tmp_path / "p.json")
    loaded = Predictor.load(tmp_path / "p.json")
    assert loaded == predictor
    assert (loaded.excess_loss(unseen)[0] == predictor.excess_loss(unseen)[0]).all()
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="no predictor of quality"):
        Predictor.load(tmp_path / "other.json")
    document = predictor.model_copy(update={"features": ("width",)})
    document.save(tmp_path / "old.json")
    with pytest.raises(ValueError, match="another version"):
        Predictor.load(tmp_path / "old.json")


def test_the_shipped_predictor_follows_from_its_table() -> None:
    shipped = Predictor.shipped()
    assert shipped is not None
    table = files("phonelm.search.quality").joinpath(SHIPPED_TABLE).read_text(encoding="utf-8")
    runs = read_table(table, SHIPPED_TABLE)
    again = fit_predictor(runs)
    planned = planned_runs(StudyConfig.model_validate(shipped.made["config"]))
    assert [make_record(run, 0, 0).shape for run in planned] == [run.shape for run in runs]
    assert [(run.name, run.tokens, run.seed) for run in planned] == [(r.name, r.tokens, r.seed) for r in runs]
    assert np.allclose(again.coefficients, shipped.coefficients, atol=1e-6)
    assert np.allclose(again.covariance, shipped.covariance, atol=1e-6)
    assert again.evidence.rank_correlation == pytest.approx(shipped.evidence.rank_correlation, abs=1e-6)
    assert str(shipped.evidence.num_runs) in shipped.note


def test_bad_tables_are_refused(made_up: MakeRuns, tmp_path: Path) -> None:
    runs = made_up(shapes=5)
    with pytest.raises(ValueError, match="2 shapes are too few"):
        fit_predictor(runs[:2])
    with pytest.raises(ValueError, match="equal training"):
        fit_predictor([*runs[1:], runs[0].model_copy(update={"tokens": 7})])
    with pytest.raises(ValueError, match="loss of nan"):
        fit_predictor([*runs[1:], runs[0].model_copy(update={"nats_per_byte": float("nan")})])
    write_table(runs, tmp_path / "runs.csv")
    text = (tmp_path / "runs.csv").read_text()
    assert read_table(text, "runs.csv") == runs
    with pytest.raises(ValueError, match=r"runs\.csv line 3"):
        read_table(text.replace(runs[1].name + ",", runs[1].name + ",many"), "runs.csv")
