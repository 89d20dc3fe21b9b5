"""Every feature of a decoder, turned away from neutral: each consumer is right or refuses it."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from phonelm.arch import ANY, DecoderConfig, RopeScaling, Support, count_parameters
from phonelm.arch.features import features, neutral_values

BASE = DecoderConfig(
    vocab_size=272,
    hidden_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    intermediate_size=96,
    context_length=64,
)
SCALINGS = [
    RopeScaling(kind="linear", factor=2.0),
    RopeScaling(kind="yarn", factor=4.0, original_context=32, beta_fast=16.0, beta_slow=2.0, magnitude=1.5),
]
COMPANIONS: dict[str, dict[str, Any]] = {
    "layers.residual.shared_norm": {"layers.residual.parallel": True},
    "layers.mixer.alibi": {"layers.mixer.rope": None},
    "embedding.position_offset": {"embedding.learned_positions": True},
}
"""What a feature needs beside it to make sense."""


def field_of(path: str) -> Any:
    """The annotation of a feature's field."""
    part: type[BaseModel] = DecoderConfig
    *parents, name = path.split(".")
    for parent in parents:
        part = next(kind for kind in kinds_of(part.model_fields[parent].annotation))
    return part.model_fields[name].annotation


def kinds_of(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from kinds_of(argument)


def values_of(annotation: Any) -> Iterator[Any]:
    """Some values of a type, each kind of it once."""
    if get_origin(annotation) in (Union, types.UnionType):
        for choice in get_args(annotation):
            yield from values_of(choice)
    elif get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif annotation is type(None):
        yield None
    elif annotation is bool:
        yield from (False, True)
    elif annotation is int:
        yield 32
    elif annotation is float:
        yield 0.5
    elif annotation is RopeScaling:
        yield from (scaling.model_dump() for scaling in SCALINGS)


def put(document: dict[str, Any], path: str, value: Any, layers: slice) -> None:
    name, _, rest = path.partition(".")
    if not rest:
        document[name] = value
    elif name == "layers":
        for layer in document["layers"][layers]:
            put(layer, rest, value, layers)
    else:
        put(document[name], rest, value, layers)


def changed(path: str, value: Any, layers: slice) -> DecoderConfig | None:
    document = {**BASE.model_dump(), "layers": [layer.model_dump() for layer in BASE.layers]}
    for name, needed in {**COMPANIONS.get(path, {}), path: value}.items():
        put(document, name, needed, layers)
    try:
        return DecoderConfig.model_validate(document)
    except ValidationError:
        return None


def cases() -> Iterator[tuple[str, DecoderConfig]]:
    for path, neutral in neutral_values().items():
        annotation = field_of(path)
        is_part = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        if is_part or ".scaling." in path or path == "layers.mixer.kind":
            continue
        made = [
            config
            for value in values_of(annotation)
            if value != neutral
            for layers in ((slice(0, 2), slice(0, 1)) if path.startswith("layers.") else (slice(0, 2),))
            if (config := changed(path, value, layers)) is not None
        ]
        assert made, f"{path} is never turned away from neutral: give it a companion"
        yield from ((path, config) for config in made)


CASES = list(cases())


def by_torch(config: DecoderConfig, folder: Path) -> DecoderConfig:
    from phonelm.formats import config_from_hf
    from phonelm.train.configuration import decoder_to_hf

    return config_from_hf(decoder_to_hf(config).to_dict())


def by_hugging_face(config: DecoderConfig, folder: Path) -> DecoderConfig:
    from phonelm.formats import config_from_hf, config_to_hf

    return config_from_hf(config_to_hf(config))


def by_runtime(config: DecoderConfig, folder: Path) -> DecoderConfig:
    """GGUF's writer and the native graph."""
    from phonelm.engine import load
    from phonelm.formats import write_random_gguf

    write_random_gguf(folder / "model.gguf", config)
    with load(folder / "model.gguf", num_threads=1) as model:
        model.logits([1, 2, 3])
        return model.config


def by_search(config: DecoderConfig, folder: Path) -> DecoderConfig:
    """The shapes of the search, and the cost model."""
    from phonelm.search import Request, predict
    from phonelm.search.shapes import shapes_of
    from synthetic import synthetic_profile

    shapes = shapes_of(config)
    assert int(shapes.total[0]) == count_parameters(config).total
    assert int(shapes.non_embedding[0]) == count_parameters(config).non_embedding
    candidate = predict(config, synthetic_profile(), Request(16, 16, 64))
    assert candidate.decode_ms > 0
    return candidate.config


@pytest.mark.parametrize("consumer", [by_torch, by_hugging_face, by_runtime, by_search])
def test_each_consumer_is_right_or_refuses(
    consumer: Callable[[DecoderConfig, Path], DecoderConfig], tmp_path: Path
) -> None:
    assert consumer(BASE.model_copy(update={"activation": "relu"}), tmp_path)
    refused = 0
    for path, config in CASES:
        try:
            got = consumer(config, tmp_path)
        except ValueError:
            refused += 1
        else:
            assert got == config, path
    assert 0 < refused < len(CASES)


def test_what_search_once_counted_wrong_is_refused_by_name() -> None:
    from phonelm.search.shapes import shapes_of

    for change, name in (
        ({"norm": "layernorm"}, "norm.kind"),
        ({"bias": "all"}, "bias"),
        ({"position": "learned"}, "learned_positions"),
        ({"parallel_residual": True}, "parallel"),
    ):
        with pytest.raises(ValueError, match=name):
            shapes_of(BASE.model_copy(update=change))


def test_features_are_the_values_away_from_neutral() -> None:
    assert features(BASE) == {}
    config = BASE.model_copy(update={"norm": "layernorm", "qk_norm": "head", "tie_embeddings": False})
    assert features(config) == {
        "layers.norm.kind": ("layernorm",),
        "norm.kind": ("layernorm",),
        "layers.mixer.qk_norm": ("head",),
        "head.tied": (False,),
    }


def test_support_names_the_consumer_the_feature_and_the_value() -> None:
    support = Support("a toy", {"layers.norm": ANY, "norm.kind": ("layernorm",), "head.tied": (False,)})
    layernorm = BASE.model_copy(update={"norm": "layernorm", "tie_embeddings": False})
    support.refuse(layernorm)
    with pytest.raises(ValueError, match=r"a toy has no decoders with layers.ffn.activation = relu"):
        support.refuse(layernorm.model_copy(update={"activation": "relu"}))
    with pytest.raises(ValueError, match="layers = different ones"):
        support.refuse(BASE.model_copy(update={"num_heads": (2, 4)}))


def test_layers_are_written_with_their_repeats() -> None:
    document = BASE.model_dump(mode="json")
    assert [layer["repeat"] for layer in document["layers"]] == [2]
    assert DecoderConfig.model_validate(document) == BASE
    differing = BASE.model_copy(update={"intermediate_size": (96, 128)})
    assert len(differing.model_dump()["layers"]) == 2
    assert DecoderConfig.model_validate_json(differing.model_dump_json()) == differing


def test_flat_and_nested_names_of_one_thing_are_refused() -> None:
    with pytest.raises(ValueError, match="num_heads and layers describe the same thing"):
        DecoderConfig.model_validate({**BASE.model_dump(), "num_heads": 4})
