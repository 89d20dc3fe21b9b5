import pytest

from phonelm.arch import count_parameters, preset, preset_names, registry


@pytest.mark.parametrize(
    ("name", "millions"), [("phonelm-0.5b", 509.7), ("phonelm-1.5b", 1618.6), ("smollm2-135m", 134.5)]
)
def test_published_sizes(name: str, millions: float) -> None:
    assert round(count_parameters(preset(name)).total / 1e6, 1) == millions


def test_presets_agree_with_the_registry() -> None:
    rows = {row.name.lower(): row.config for row in registry()}
    for name in ("phonelm-0.5b", "phonelm-1.5b", "smollm2-135m"):
        assert preset(name) == rows[name]


def test_names_are_found_in_any_case() -> None:
    assert preset("PhoneLM-0.5B") == preset("phonelm-0.5b")
    assert preset("qwen2.5-0.5b").layers[0].mixer.num_kv_heads == 2
    assert "opt-125m" in preset_names()


def test_a_misspelt_name_gets_the_nearest_ones() -> None:
    with pytest.raises(ValueError, match=r"no preset 'fonelm-0\.5b'; try phonelm-0\.5b"):
        preset("fonelm-0.5b")


def test_a_row_without_configuration_says_why() -> None:
    with pytest.raises(ValueError, match="MiniCPM3-4B has no decoder configuration: multi-head latent"):
        preset("minicpm3-4b")
