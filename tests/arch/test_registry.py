import pytest

from phonelm.arch import RegistryRow, count_parameters, registry

# Rows whose published figure is not this configuration's count to a tenth of a million.
EXCEPTIONS = {
    "OpenELM-3B": "3,036,647,424 parameters, rounded twice in the source (3036.65, then 3036.7)",
}
NOT_DESCRIBED = {"RecurrentGemma-2B", "MiniCPM3-4B", "MiniMA-2-1B"}
NO_KNOWN_COUNT = {"MobiLlama-0.5B", "MiniMA-2-1B"}


@pytest.mark.parametrize("row", registry(), ids=lambda row: row.name)
def test_computed_parameters_equal_the_known_ones(row: RegistryRow) -> None:
    if row.config is None or row.params_m is None:
        assert row.name in NOT_DESCRIBED | NO_KNOWN_COUNT
        return
    computed = round(count_parameters(row.config).total / 1e6, 1)
    assert (computed == row.params_m) != (row.name in EXCEPTIONS)


def test_rows_without_a_configuration_say_why() -> None:
    assert len(registry()) == 84
    without = {row.name: row.unsupported_reason for row in registry() if row.config is None}
    assert set(without) == NOT_DESCRIBED
    assert "latent attention" in str(without["MiniCPM3-4B"])
    assert "RG-LRU" in str(without["RecurrentGemma-2B"])
    assert "vocab" in str(without["MiniMA-2-1B"])


def row(name: str) -> RegistryRow:
    return next(row for row in registry() if row.name == name)


def test_columns_are_typed() -> None:
    opt = row("OPT-125M")
    assert (opt.layers, opt.hidden, opt.params_m, opt.tokens_b, opt.tied) == (12, 768, 125.2, 180.0, True)
    assert row("Qwen-1.8B").tokens_b is None
    assert row("MiniMA-2-1B").tied is None


def test_a_shared_ffn_has_the_count_that_its_note_gives() -> None:
    config = row("MobiLlama-0.5B").config
    assert config is not None
    assert round(count_parameters(config).total / 1e6) == 373


def test_position_columns() -> None:
    phi, pythia, phone, qwen = (row(n).config for n in ("Phi-2", "Pythia-2.8B", "PhoneLM-1.5B", "Qwen1.5-4B"))
    assert phi is not None
    assert pythia is not None
    assert phone is not None
    assert qwen is not None
    mixers = [config.layers[0].mixer for config in (phi, pythia, phone, qwen)]
    ropes = [mixer.rope for mixer in mixers if mixer.rope]
    assert [ropes[i].rotated_dims(mixers[i].head_dim) for i in (0, 1)] == [32, 20]
    assert (ropes[2].table, ropes[3].theta) == ("int8", 5e6)


def test_openelm_heads_span_the_published_range() -> None:
    for name, first, last in (("OpenELM-270M", 12, 20), ("OpenELM-1.1B", 16, 32), ("OpenELM-3B", 12, 24)):
        config = row(name).config
        assert config is not None
        assert (config.layers[0].mixer.num_heads, config.layers[-1].mixer.num_heads) == (first, last)
        assert config.uniform_layer is None


def test_what_a_configuration_leaves_out_is_in_the_notes() -> None:
    assert "RoPE frequencies are scaled" in row("Llama-3.2-1B").notes
    assert "caps logits" in row("Gemma-2-2B").notes
    assert row("TinyLlama-1.1B").caveats == ()
