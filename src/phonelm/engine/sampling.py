"""How the next token is drawn and where generation ends."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from phonelm.ranges import FLOAT32_MAX, INT32_MAX, is_real, is_whole

if TYPE_CHECKING:
    from phonelm import _native

ContextOverflow = Literal["stop", "slide"]
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
    but the first ones when the context is full, and goes on; "stop" ends there. Raises `ValueError` for a
    value out of range.
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

    @classmethod
    def from_keywords(cls, options: Mapping[str, Any], **defaults: Any) -> SamplingOptions:
        """Return the options that a method was given as keywords; `stop` may be one text.

        `defaults` are the method's own. Raises `ValueError` as the class does, `TypeError` for a keyword that
        is no option.
        """
        merged = {**defaults, **options}
        stop = merged.get("stop", ())
        return cls(**{**merged, "stop": (stop,) if isinstance(stop, str) else tuple(stop)})


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def new_sampler(options: SamplingOptions) -> _native.Sampler:
    """Return the sampler that the options describe.

    What float32 and int32 cannot hold becomes the nearest value that means the same.
    """
    from phonelm import _native

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
    )
