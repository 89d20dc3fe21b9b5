from phonelm.arch import DecoderConfig, preset
from phonelm.arch.tensors import layer_tensors, model_tensors, outer_tensors


def test_the_real_model_file_has_these_tensors() -> None:
    names = [tensor.name for tensor in model_tensors(preset("smollm2-135m"))]
    assert len(names) == len(set(names)) == 272  # as in SmolLM2-135M-Instruct's GGUF
    assert names[0] == "token_embd.weight"
    assert names[-1] == "output_norm.weight"


def test_all_tensors_are_the_outer_ones_and_those_of_each_layer() -> None:
    config = preset("OpenELM-270M")
    layers = sum(len(layer_tensors(config, layer)) for layer in range(config.num_layers))
    assert len(list(model_tensors(config))) == layers + len(outer_tensors(config))


def test_unusual_parts() -> None:
    opt, gemma, bloom = preset("OPT-350M"), preset("Gemma-2-2B"), preset("Bloom-560M")
    shapes = {tensor.name: tensor.shape for tensor in model_tensors(opt)}
    assert shapes["project_in.weight"] == (1024, 512)
    assert shapes["project_out.weight"] == (512, 1024)
    assert shapes["position_embd.weight"] == (2050, 1024)
    assert "output_norm.weight" not in shapes
    assert "post_ffw_norm.weight" in {tensor.name for tensor in layer_tensors(gemma, 0)}
    assert "token_embd_norm.bias" in {tensor.name for tensor in outer_tensors(bloom)}


def test_qk_norms() -> None:
    def lengths(config: DecoderConfig) -> list[int]:
        return [
            t.shape[0]
            for t in layer_tensors(config, 0)
            if t.name in ("attn_q_norm.weight", "attn_k_norm.weight")
        ]

    assert lengths(preset("OpenELM-270M")) == [64, 64]
    assert lengths(preset("DCLM-1B")) == [2048, 2048]
