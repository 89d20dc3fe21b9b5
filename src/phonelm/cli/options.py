"""Options shared by the verbs that make text: how tokens are drawn and how the model is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.completion import model_names

if TYPE_CHECKING:
    from phonelm.engine import Model

ModelName = Annotated[
    str,
    typer.Argument(
        help="GGUF file, run or Hugging Face folder, known name, or pulled OWNER/REPOSITORY[:FILE|TYPE].",
        autocompletion=model_names,
    ),
]
Temperature = Annotated[float, typer.Option(help="0 takes the likeliest token each time.")]
TopK = Annotated[int, typer.Option(help="Draw from the k likeliest tokens; 0: from all.")]
TopP = Annotated[float, typer.Option(help="Draw from the likeliest tokens that hold this share.")]
MinP = Annotated[float, typer.Option(help="Drop tokens less likely than this share of the best.")]
TypicalP = Annotated[
    float, typer.Option(help="Draw from the tokens whose surprise is nearest the mean, up to this share.")
]
RepeatPenalty = Annotated[float, typer.Option(help="Above 1, tokens that were there are less likely.")]
PresencePenalty = Annotated[float, typer.Option(help="Subtracted from the logits of tokens that were there.")]
FrequencyPenalty = Annotated[float, typer.Option(help="The same for each time they were there.")]
RepeatLastN = Annotated[int, typer.Option(help="How far back the penalties look; -1: to the beginning.")]
LogitBias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID(+|-)VALUE",
        help="Added to the logit of a token, such as 15043-1.5; 15043-inf bans it; may be repeated.",
    ),
]
DryMultiplier = Annotated[
    float,
    typer.Option(help="DRY: above 0, tokens that go on with a repetition are less likely, such as 0.8."),
]
DryBase = Annotated[float, typer.Option(help="How much less for each further token that is repeated.")]
DryAllowedLength = Annotated[int, typer.Option(help="Tokens that may be repeated before that begins.")]
DryPenaltyLastN = Annotated[int, typer.Option(help="How far back DRY looks; -1: to the beginning.")]
DrySequenceBreaker = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="Text that ends a repetition; may be repeated; none: without. Line ends, colons, quotes and "
        "stars if not given.",
    ),
]
XtcProbability = Annotated[
    float, typer.Option(help="XTC: how often the likeliest tokens are left out but for the last of them.")
]
XtcThreshold = Annotated[float, typer.Option(help="The share from which a token is one of the likeliest.")]
Stop = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="Text that ends the answer and is no part of it; may be repeated."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say how fast it was, on standard error.")]
Threads = Annotated[int | None, typer.Option(help="Threads; chosen by a short measurement if not given.")]
Context = Annotated[int | None, typer.Option(help="Context in tokens; the model's if not given.")]
Slide = Annotated[
    bool, typer.Option("--slide", help="Drop the oldest tokens when the context is full, and continue.")
]
KvType = Annotated[str, typer.Option(help="Type of keys and values in the cache: f16 or q8_0.")]
Lora = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH[=SCALE]", help="LoRA adapter: GGUF file or peft folder; may be repeated."),
]

_VARIABLES_EXAMPLE = """give it as '{"enable_thinking": false}'"""
TemplateVariables = Annotated[
    str | None,
    typer.Option(metavar="JSON", help='Variables of the chat template, such as {"enable_thinking": false}.'),
]


@dataclass(frozen=True)
class VerbDefaults:
    """The sampling options in which a verb differs from the engine's, whose own defaults are greedy."""

    max_tokens: int
    temperature: float
    top_p: float


GENERATE = VerbDefaults(max_tokens=128, temperature=0.7, top_p=0.95)
"""A continuation is read once: varied text, and a length that fits a screen."""
CHAT = VerbDefaults(max_tokens=1024, temperature=0.3, top_p=0.9)
"""An answer should be right before it is varied, and ends by itself long before its limit."""


def sampling_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling options among the parameters of a verb, as `SamplingOptions` takes them."""
    from phonelm.engine import SamplingOptions

    names = [option.name for option in fields(SamplingOptions)]
    return {
        **{name: given[name] for name in names if name in given},
        "stop": tuple(given["stop"] or ()),
        "context_overflow": "slide" if given["slide"] else "stop",
        "logit_bias": parse_logit_bias(given["logit_bias"] or ()),
        "dry_sequence_breakers": _breakers(given["dry_sequence_breaker"]),
    }


def parse_logit_bias(words: Sequence[str]) -> dict[int, float] | None:
    """Return the biases of words such as `15043+1.5` and `15043-inf`. Raises `ValueError` for others.

    Those of one token add up, as in llama.cpp.
    """
    biases: dict[int, float] = {}
    for word in words:
        found = re.fullmatch(r"(\d+)([+-](?:inf|[\d.]+(?:e[+-]?\d+)?))", word)
        try:
            token, bias = int(found[1]), float(found[2])  # type: ignore[index]
        except (TypeError, ValueError):
            raise ValueError(
                f"the logit bias {word!r} is not ID+VALUE or ID-VALUE, such as 15043-1.5 or 15043-inf"
            ) from None
        biases[token] = biases.get(token, 0.0) + bias
    return biases or None


def _breakers(given: list[str] | None) -> tuple[str, ...]:
    from phonelm.engine.sampling import DRY_BREAKERS

    if given is None or given == []:
        return DRY_BREAKERS
    # As in llama.cpp.
    return () if given == ["none"] else tuple(given)


def read_variables(text: str | None) -> dict[str, Any]:
    """Return the variables of a chat template given as a JSON object. Raises `ValueError` for other text."""
    try:
        variables = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(
            f"--chat-template-kwargs is not valid JSON ({error}); {_VARIABLES_EXAMPLE}"
        ) from None
    if not isinstance(variables, dict):
        raise ValueError(f"--chat-template-kwargs is not a JSON object; {_VARIABLES_EXAMPLE}")
    return variables


def load_model(name: str, threads: int | None, context: int | None, kv: str, lora: list[str] | None) -> Model:
    """Load the model with the options given. Raises `ValueError` as `engine.load` and `parse_adapter` do."""
    from phonelm.engine import load, parse_adapter

    adapters = [parse_adapter(text) for text in lora or ()]
    return load(name, num_threads=threads, context_length=context, adapters=adapters, kv_type=kv)
