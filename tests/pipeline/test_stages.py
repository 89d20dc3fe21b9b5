"""The whole way on a corpus of a few files and a model of a few hundred thousand parameters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import phonelm
from phonelm.arch import count_parameters
from phonelm.pipeline import Recipe, build

pytest.importorskip("torch")

RECIPE = {
    "name": "tiny",
    "seed": 3,
    "search": {
        "params": "400k",
        "vocab_size": 512,
        "context_length": 128,
        "prompt_tokens": 32,
        "output_tokens": 16,
        "space": {
            "hidden": {"min": 64, "max": 256, "step": 32},
            "layers": {"min": 2, "max": 12},
            "head_dim": [32],
        },
    },
    "train": {
        "stable": {
            "steps": 4,
            "batch_size": 4,
            "sequence_length": 64,
            "warmup_steps": 1,
            "valid_tokens": 512,
            "sample_tokens": 4,
        },
        "decay": {"steps": 2},
    },
    "quantize": {"kl_tokens": 128},
    "run": {"prompts": ["def "], "max_tokens": 8, "rounds": 1, "repeats": 2},
}


@pytest.mark.slow
def test_from_a_budget_to_a_model_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    corpus, run = tmp_path / "corpus", tmp_path / "run"
    corpus.mkdir()
    for index, path in enumerate(sorted(Path(phonelm.__file__).parent.rglob("*.py"))):
        (corpus / f"{index}.py").write_text(path.read_text())
    recipe = Recipe.model_validate({**RECIPE, "data": {"source": str(corpus), "valid_fraction": 0.1}})
    build(recipe, run)

    with phonelm.load(run) as model:
        assert abs(count_parameters(model.config).total - 400_000) <= 8_000
        assert model.logits([1, 2, 3]).shape == (3, 512)
    quantized = json.loads((run / "quantize.json").read_text())
    assert 0 <= quantized["kl_divergence"] < 0.05
    assert 4.5 < quantized["bits_per_weight"] < 6.5
    speeds = json.loads((run / "run.json").read_text())["speeds"]
    assert {"chosen", "conventional"} == set(speeds)
    assert all(
        speed[phase]["measured_tok_s"] > 0 for speed in speeds.values() for phase in ("decode", "prefill")
    )
    page = (run / "report.html").read_text()
    assert "http" not in page

    written = {name: (run / name).stat().st_mtime_ns for name in ("model.gguf", "quantize.json")}
    build(recipe, run)
    assert {name: (run / name).stat().st_mtime_ns for name in written} == written
