"""How the next token is drawn and where generation ends."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from phonelm.ranges import FLOAT32_MAX, INT32_MAX, is_real, is_whole

if TYPE_CHECKING:
    from phonelm import _native
    from phonelm.engine.tokenizer import Tokenizer

ContextOverflow = Literal["stop", "slide"]
LogitBias = Mapping[int | str, float]
"""Number to add, or False for a ban, by token id or text."""
DRY_BREAKERS = ("\n", ":", '"', "*")
"""Ends of lines, speakers and quotes: repetitions of what stands around them are no fault."""
_LEAST_SHARE = 2.0**-126
"""The smallest normal float32."""
_MOST_MIN_P = 1 - 2.0**-24
"""The largest float32 below 1."""


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is drawn and where generation ends.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1, `min_p` 0 and `typical_p` 1 keep all tokens.
    `repeat_penalty` divides the logits above 0 of the last `repeat_last_n` tokens, those of the prompt too,
    and multiplies the others; `presence_penalty` and, times its count, `frequency_penalty` are subtracted.
    `repeat_last_n` -1 looks at all tokens. `seed` None draws one. `stop` texts end the answer and are no part
    of it. `max_tokens` None: until the context is full. `context_overflow` "slide" forgets the oldest tokens
    but the first ones when the context is full, and goes on; "stop" ends there.

    `logit_bias` adds numbers to the logits of tokens, by id, or by a text for each of its tokens; -inf or
    False bans them. DRY (p-e-w, llama.cpp PR 9702) is on with `dry_multiplier` above 0: a token that would
    continue a repetition of n tokens, among the last `dry_penalty_last_n` (-1: all), loses `dry_multiplier` *
    `dry_base`^(n - `dry_allowed_length`), from n = `dry_allowed_length` on; no repetition reaches over one of
    the `dry_sequence_breakers`. XTC (p-e-w, llama.cpp PR 9742): with `xtc_probability`, of the tokens that
    hold at least `xtc_threshold` all but the least likely are left out. Raises `ValueError` for a value out
    of range.
    """

    max_tokens: int | None = None
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_last_n: int = 64
    seed: int | None = None
    stop: tuple[str, ...] = ()
    context_overflow: ContextOverflow = "stop"
    logit_bias: LogitBias | None = None
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: tuple[str, ...] = DRY_BREAKERS
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1

    def __post_init__(self) -> None:
        _require(
            is_real(self.temperature, 0),
            f"temperature is {self.temperature}; give 0 (greedy) or a positive number up to {FLOAT32_MAX:g}",
        )
        _require(
            is_whole(self.top_k, 0, None),
            f"top_k is {self.top_k}; give 0 (all tokens) or a positive whole number",
        )
        _require(
            is_real(self.top_p, 0, 1) and self.top_p > 0,
            f"top_p is {self.top_p}; give a number above 0 and at most 1",
        )
        _require(
            is_real(self.min_p, 0, 1) and self.min_p < 1,
            f"min_p is {self.min_p}; give a number from 0 to below 1",
        )
        _require(
            is_real(self.typical_p, 0, 1) and self.typical_p > 0,
            f"typical_p is {self.typical_p}; give a number above 0 and at most 1",
        )
        self._check_penalties()
        self._check_ends()
        self._check_biases()
        self._check_dry()
        self._check_xtc()
        if self.seed is None:
            object.__setattr__(self, "seed", secrets.randbits(32))
        _require(
            is_whole(self.seed, 0, 2**64 - 1),
            f"seed is {self.seed}; give a whole number from 0 to 2^64 - 1",
        )

    def _check_penalties(self) -> None:
        _require(
            is_real(self.repeat_penalty, 0) and self.repeat_penalty > 0,
            f"repeat_penalty is {self.repeat_penalty}; give 1 (none) or another positive number",
        )
        for name in ("presence_penalty", "frequency_penalty"):
            value = getattr(self, name)
            _require(
                is_real(value, -FLOAT32_MAX),
                f"{name} is {value}; give 0 (none) or another number, such as 0.5",
            )
        _require(
            is_whole(self.repeat_last_n, -1, None),
            f"repeat_last_n is {self.repeat_last_n}; give a whole number from -1 (all tokens)",
        )

    def _check_ends(self) -> None:
        _require(
            self.max_tokens is None or is_whole(self.max_tokens, 1, None),
            f"max_tokens is {self.max_tokens}; give a whole number, 1 or more",
        )
        _require(
            self.context_overflow in ("stop", "slide"),
            f"context_overflow is {self.context_overflow!r}; give 'stop' or 'slide'",
        )
        _require(all(self.stop), "a stop text is empty; leave it out or give some text")

    def _check_biases(self) -> None:
        _require(
            self.logit_bias is None or isinstance(self.logit_bias, Mapping),
            "logit_bias is no dict; give {token id or text: number}, such as {5: -1.5}",
        )
        for token, bias in (self.logit_bias or {}).items():
            _require(
                is_whole(token, 0) or (isinstance(token, str) and token != ""),
                f"logit_bias names {token!r}; give the id of a token or some text",
            )
            _require(
                bias is False or (bias is not True and (is_real(bias, -FLOAT32_MAX) or bias == -math.inf)),
                f"logit_bias of {token!r} is {bias}; give a number, or False or -inf to ban it",
            )

    def _check_dry(self) -> None:
        _require(
            is_real(self.dry_multiplier, 0),
            f"dry_multiplier is {self.dry_multiplier}; give 0 (off) or a positive number, such as 0.8",
        )
        _require(
            is_real(self.dry_base, 1), f"dry_base is {self.dry_base}; give a number from 1, such as 1.75"
        )
        _require(
            is_whole(self.dry_allowed_length, 1, None),
            f"dry_allowed_length is {self.dry_allowed_length}; give a whole number, 1 or more",
        )
        _require(
            is_whole(self.dry_penalty_last_n, -1, None),
            f"dry_penalty_last_n is {self.dry_penalty_last_n}; give a whole number from -1 (all tokens)",
        )
        _require(
            all(isinstance(text, str) and text for text in self.dry_sequence_breakers),
            "one of the dry_sequence_breakers is empty or no text; leave it out",
        )

    def _check_xtc(self) -> None:
        for name in ("xtc_probability", "xtc_threshold"):
            value = getattr(self, name)
            _require(is_real(value, 0, 1), f"{name} is {value}; give a number from 0 to 1")
        _require(
            self.xtc_probability == 0 or self.temperature > 0,
            "xtc_probability leaves out the likeliest tokens, and temperature 0 takes no other; "
            "give a temperature above 0",
        )

    @classmethod
    def from_keywords(cls, options: Mapping[str, Any], **defaults: Any) -> SamplingOptions:
        """Return the options that a method was given as keywords; lists of texts may be one text.

        `defaults` are the method's own. Raises `ValueError` as the class does, `TypeError` for a keyword that
        is no option.
        """
        merged = {**defaults, **options}
        for name in {"stop", "dry_sequence_breakers"} & merged.keys():
            texts = merged[name]
            merged[name] = (texts,) if isinstance(texts, str) else tuple(texts)
        return cls(**merged)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def token_biases(options: SamplingOptions, tokenizer: Tokenizer) -> dict[int, float]:
    """Return what is added to the logits of tokens; a text's bias is that of each of its tokens.

    Raises `ValueError` for a token that the vocabulary has not.
    """
    biases: dict[int, float] = {}
    for name, bias in (options.logit_bias or {}).items():
        tokens = set(tokenizer.encode(name)) if isinstance(name, str) else [int(name)]
        for token in tokens:
            _require(
                token < tokenizer.vocab_size,
                f"logit_bias names token {token}; this model has {tokenizer.vocab_size}",
            )
            biases[token] = biases.get(token, 0.0) + (-math.inf if bias is False else float(bias))
    return biases


def banned_tokens(options: SamplingOptions, tokenizer: Tokenizer) -> frozenset[int]:
    """Return the tokens that are never drawn. Raises `ValueError` as `token_biases` does."""
    return frozenset(token for token, bias in token_biases(options, tokenizer).items() if bias == -math.inf)


def new_sampler(options: SamplingOptions, tokenizer: Tokenizer) -> _native.Sampler:
    """Return the sampler that the options describe.

    What float32 and int32 cannot hold becomes the nearest value that means the same. Raises `ValueError` as
    `token_biases` does.
    """
    from phonelm import _native

    repeats = options.dry_multiplier > 0
    breakers = [tokenizer.breakers(text) for text in options.dry_sequence_breakers if repeats]

    return _native.Sampler(
        temperature=float(options.temperature),
        top_k=min(int(options.top_k), INT32_MAX),
        top_p=max(float(options.top_p), _LEAST_SHARE),
        min_p=min(float(options.min_p), _MOST_MIN_P),
        typical_p=max(float(options.typical_p), _LEAST_SHARE),
        repeat_penalty=min(max(float(options.repeat_penalty), _LEAST_SHARE), FLOAT32_MAX),
        presence_penalty=float(options.presence_penalty),
        frequency_penalty=float(options.frequency_penalty),
        repeat_last_n=min(int(options.repeat_last_n), INT32_MAX),
        seed=int(options.seed or 0),
        dry_multiplier=float(options.dry_multiplier),
        dry_base=float(options.dry_base),
        dry_allowed_length=min(int(options.dry_allowed_length), INT32_MAX),
        dry_penalty_last_n=min(int(options.dry_penalty_last_n), INT32_MAX),
        xtc_probability=float(options.xtc_probability),
        xtc_threshold=float(options.xtc_threshold),
        logit_bias=list(token_biases(options, tokenizer).items()),
        dry_breakers=[tokens for ways in breakers for tokens in ways],
    )
