"""A loaded model: logits, generation, chat and log-likelihoods."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

from phonelm._native import NUM_SINKS
from phonelm.engine.adapters import AdapterSource, load_adapters
from phonelm.engine.batch import Completion, run_batch
from phonelm.engine.chat_input import Message, merged_variables
from phonelm.engine.constraint import Constraint
from phonelm.engine.file_warnings import warn_of_guesses
from phonelm.engine.generation import Generation
from phonelm.engine.grammar import Grammar, rule_of
from phonelm.engine.pairs import split_pair
from phonelm.engine.sampling import DRY_BREAKERS, ContextOverflow, LogitBias, SamplingOptions, token_biases
from phonelm.engine.session import Session, take_variables
from phonelm.engine.session_pool import SessionPool
from phonelm.engine.tokenizer import Tokenizer
from phonelm.ranges import is_whole, require_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from phonelm import _native
    from phonelm.arch import DecoderConfig

_LEAST_CAPACITY = 256
"""Tokens that a session has room for at least, where the context allows it."""


class ModelOptions(TypedDict, total=False):
    """What a model is loaded with; `Model` says what each means and has the defaults."""

    num_threads: int | None
    isa: str | None
    context_length: int | None
    sparse_ffn: bool
    adapters: Sequence[AdapterSource]
    kv_type: str
    idle_sessions: int


class Model:
    """The weights of a GGUF file in memory, ready to run.

    `num_threads` None takes as many as a short measurement finds fastest, for one token and for a batch apart
    (`Model.native.decode_threads`, `prefill_threads`), `isa` None the fastest this machine has,
    `context_length` None the model's own; `sparse_ffn` False reads all neurons of a ReLU model at decode,
    dead ones too; `adapters` as in `set_adapters`; `kv_type` "q8_0" keeps keys and values in half the
    memory of "f16"; `idle_sessions` of earlier texts are kept to start from.

    Calls from several threads are safe: each generation has a session (its own keys and values). The last
    `idle_sessions` of them are kept, and a text that begins as one of them did starts from what that one has
    evaluated. Raises `ValueError` for a file that is not a GGUF model this runtime knows, an instruction set
    this machine lacks, a number of threads below 1 or above 256, a context longer than the model's, an
    unknown type of keys and values, and a model (with its context, where one is given) that does not fit into
    the memory left; `FileNotFoundError` for no file. Warns (`ModelFileWarning`) of a file that leaves to a
    guess how text is cut.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        num_threads: int | None = None,
        isa: str | None = None,
        context_length: int | None = None,
        sparse_ffn: bool = True,
        adapters: Sequence[AdapterSource] = (),
        kv_type: str = "f16",
        idle_sessions: int = 4,
    ) -> None:
        from phonelm import _native

        if not is_whole(idle_sessions, 0, None):
            raise ValueError(f"idle_sessions is {idle_sessions}; give 0 (keep none) or more")
        if num_threads is not None and not is_whole(num_threads, 1, _native.MAX_THREADS):
            raise ValueError(f"threads is {num_threads}; take 1 to {_native.MAX_THREADS}")
        # Natively it only counts for the memory that sessions will take; it is checked below.
        planned = int(context_length or 0) if is_whole(context_length, 1) else 0
        self.path = Path(path)
        self._native: _native.Model | None = _native.Model.load(
            str(path), isa or "", num_threads, sparse_ffn, planned, kv_type
        )
        self.metadata: dict[str, Any] = self._native.metadata
        warn_of_guesses(self.path, self.metadata)
        self.tokenizer = Tokenizer(self._native.tokenizer, self.metadata)
        self.context_length = self._checked_context(context_length)
        self.kv_type = kv_type
        self._pool = SessionPool(idle_sessions, self._new_session)
        self._lock = threading.Lock()
        self._adapters: _native.Adapters | None = load_adapters(self._native, self.metadata, adapters)

    @cached_property
    def config(self) -> DecoderConfig:
        """Shape and kind of the model."""
        from phonelm.arch import DecoderConfig

        return DecoderConfig.model_validate_json(self.native.description)

    @property
    def native(self) -> _native.Model:
        """The native model (weights, metadata, instruction set); `ValueError` after `close`."""
        if self._native is None:
            raise ValueError(f"{self.path.name} is closed; load it again")
        return self._native

    def set_adapters(self, adapters: Sequence[AdapterSource]) -> None:
        """Take these LoRA adapters instead of those at hand; an empty list takes the model as it is.

        Each is a GGUF adapter or a peft folder, or a pair of one and a factor for what it adds; several are
        added up. The model's weights stay where they are. Generations that have begun keep the adapters they
        began with. Raises `ValueError` for what is no LoRA adapter of this model or does not fit into memory,
        `FileNotFoundError` for no file; then the adapters at hand stay.
        """
        loaded = load_adapters(self.native, self.metadata, adapters)
        with self._lock:
            self._adapters = loaded
        # Their keys and values are those of other weights.
        self._pool.clear()

    def logits(self, ids: Sequence[int] | NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the logits after each token, float32 [len(ids), vocab].

        The tokens of a text are those of `tokenizer.encode_prompt`. Raises `ValueError` for a text, and as
        `generate` does.
        """
        tokens = self._checked_ids(ids)
        return self._new_session(len(tokens)).prefill_logits(tokens)

    def generate(
        self,
        prompt: str | Sequence[int],
        *,
        max_tokens: int | None = 256,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        typical_p: float = 1.0,
        repeat_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        repeat_last_n: int = 64,
        seed: int | None = None,
        stop: Sequence[str] = (),
        context_overflow: ContextOverflow = "stop",
        logit_bias: LogitBias | None = None,
        dry_multiplier: float = 0.0,
        dry_base: float = 1.75,
        dry_allowed_length: int = 2,
        dry_penalty_last_n: int = -1,
        dry_sequence_breakers: Sequence[str] = DRY_BREAKERS,
        xtc_probability: float = 0.0,
        xtc_threshold: float = 0.1,
        grammar: Grammar | None = None,
        constraint: Constraint | None = None,
        lookup: bool = False,
        parse_special: bool = False,
    ) -> Generation:
        """Continue a text (or token ids); iterate over the result for pieces of text, or take its `text`.

        Options as in `SamplingOptions`. The text follows `grammar`, or a custom `constraint`. `lookup`
        drafts tokens from repeated text, which changes the speed but no token. `parse_special` makes the
        texts of special tokens in the prompt those tokens. Raises `ValueError` for an empty prompt, one
        longer than the context (unless that slides), and an option out of range.
        """
        options = SamplingOptions.from_keywords(
            {
                "max_tokens": max_tokens,
                "temperature": temperature,
                "top_k": top_k,
                "top_p": top_p,
                "min_p": min_p,
                "typical_p": typical_p,
                "repeat_penalty": repeat_penalty,
                "presence_penalty": presence_penalty,
                "frequency_penalty": frequency_penalty,
                "repeat_last_n": repeat_last_n,
                "seed": seed,
                "stop": stop,
                "context_overflow": context_overflow,
                "logit_bias": logit_bias,
                "dry_multiplier": dry_multiplier,
                "dry_base": dry_base,
                "dry_allowed_length": dry_allowed_length,
                "dry_penalty_last_n": dry_penalty_last_n,
                "dry_sequence_breakers": dry_sequence_breakers,
                "xtc_probability": xtc_probability,
                "xtc_threshold": xtc_threshold,
            }
        )
        rule = rule_of(self.tokenizer, grammar, constraint)
        ids = self._prompt_ids(prompt, options, parse_special)
        return self._generation(ids, options, rule, lookup)

    def generate_batch(
        self,
        prompts: Sequence[str | Sequence[int]],
        *,
        batch_size: int = 8,
        parse_special: bool = False,
        **options: Any,
    ) -> list[Completion]:
        """Continue several texts (or token ids) together, and return their continuations in order.

        `batch_size` of them are decoded at a time, a token of each in one pass through the weights, which is
        faster than one after the other; each is rounded as if it were alone. Options as in `SamplingOptions`,
        `max_tokens` being 256 if not given; `seed` is every text's. Raises `ValueError` as `generate` does,
        before anything is evaluated.
        """
        if not is_whole(batch_size, 1, None):
            raise ValueError(f"batch_size is {batch_size}; give 1 or more")
        sampling = SamplingOptions.from_keywords(options, max_tokens=256)
        ids = [self._prompt_ids(prompt, sampling, parse_special) for prompt in prompts]
        return run_batch(
            ids, self.tokenizer, sampling, batch_size, lambda one: self._take(one, sampling), self._keep
        )

    @overload
    def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = ...,
        stream: Literal[False] = ...,
        **options: Any,
    ) -> str: ...

    @overload
    def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = ...,
        *,
        stream: Literal[True],
        **options: Any,
    ) -> Generation: ...

    def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        stream: bool = False,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        grammar: Grammar | None = None,
        constraint: Constraint | None = None,
        lookup: bool = False,
        **options: Any,
    ) -> str | Generation:
        """Answer a conversation: the answer's text, or with `stream` its pieces as they come.

        Options as in `generate`, `max_tokens` being 512 if not given. A variable of the chat template, such
        as `enable_thinking`, may be one, or be in `chat_template_kwargs`. What an earlier call has evaluated
        and this one begins with is not evaluated again. Raises `ValueError` as `generate` and
        `apply_chat_template` do.
        """
        variables = merged_variables(chat_template_kwargs, take_variables(options, self.tokenizer))
        sampling = SamplingOptions.from_keywords(options, max_tokens=512)
        ids = self._prompt_ids(self.chat_ids(messages, tools, variables), sampling)
        answer = self._generation(ids, sampling, rule_of(self.tokenizer, grammar, constraint), lookup)
        return answer if stream else "".join(answer)

    def new_session(
        self,
        *,
        context_length: int | None = None,
        context_overflow: ContextOverflow = "stop",
        num_sinks: int = NUM_SINKS,
    ) -> Session:
        """Return an empty session, for a text that is continued, forked or saved.

        `context_length` None is the model's. With `context_overflow` "slide" the first `num_sinks` tokens
        stay and the oldest of the others leave when the context is full. Raises `ValueError` for a context
        that is longer than the model's, too short to slide, or does not fit into the memory left.
        """
        sinks = require_whole("num_sinks", num_sinks, 0) if _is_sliding(context_overflow) else None
        length = self.context_length if context_length is None else self._checked_context(context_length)
        return Session(self.tokenizer, self._new_session(length, sinks))

    def restore_session(self, path: str | Path, *, context_length: int | None = None) -> Session:
        """Return a saved session as it was; `context_length` None is that of the saved one.

        Raises `FileNotFoundError` for no file; `ValueError` for one that is no session, damaged, or of
        another model or other adapters, and for a context that does not fit.
        """
        length = 0 if context_length is None else self._checked_context(context_length)
        native = self.native.restore_session(str(path), length, self._adapters)
        return Session(self.tokenizer, native)

    def chat_ids(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        **variables: Any,
    ) -> list[int]:
        """Return the token ids a conversation is evaluated as. Parameters as of `Tokenizer.chat_ids`."""
        return self.tokenizer.chat_ids(messages, tools, chat_template_kwargs, **variables)

    def loglikelihood(self, context: str, continuation: str) -> tuple[float, bool]:
        """Return (natural-log probability of `continuation` after `context`, whether greedy would say it).

        The boundary is lm-evaluation-harness's: both are tokenized together, spaces at the end of the
        context belong to the continuation. An empty context is the begin- or end-of-text token.
        """
        return self.loglikelihoods([(context, continuation)])[0]

    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Return `loglikelihood` of many (context, continuation) pairs, in order.

        They pass through the weights together, a full batch at a time, and what they begin with alike once:
        for short texts several times faster than one by one. Raises `ValueError` as `loglikelihood` does,
        before anything is evaluated.
        """
        divided = [split_pair(self.tokenizer, *pair) for pair in pairs]
        return self.score_tokens([([*before, *after], len(after)) for before, after in divided])

    def score_tokens(self, sequences: Sequence[tuple[Sequence[int], int]]) -> list[tuple[float, bool]]:
        """Return as `loglikelihoods` of (token ids, how many of the last ones are scored), in order.

        What sequences begin with alike is evaluated once. All but the last token, which is only compared
        with, must fit into the context. Raises `ValueError` for less than one token to score, none before
        them, and as `loglikelihoods` does, before anything is evaluated.
        """
        checked = [
            self._checked_ids(tokens[:-1]) + self.tokenizer.checked_ids(tokens[-1:])
            for tokens, _ in sequences
        ]
        counts = [require_whole("the number of tokens to score", count, 1) for _, count in sequences]
        return self.native.score(checked, counts, self._adapters, self.kv_type)

    def close(self) -> None:
        """Let go of the weights; the model cannot be used afterwards."""
        self._native = None
        self._adapters = None
        self._pool.clear()

    def __repr__(self) -> str:
        state = f"context {self.context_length:,}" if self._native else "closed"
        return f"<Model: {self.path.name}, {state}>"

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _trained_context(self) -> int:
        return self.native.context_length

    def _checked_context(self, wanted: int | None) -> int:
        longest = self._trained_context
        if wanted is None:
            return longest
        if not is_whole(wanted, 1, longest):
            raise ValueError(
                f"context length {wanted} is out of range; this model takes 1 to {longest} tokens"
            )
        return int(wanted)

    def _checked_ids(self, ids: Sequence[int] | NDArray[np.integer], slides: bool = False) -> list[int]:
        tokens = self.tokenizer.checked_ids(ids)
        if not tokens:
            raise ValueError("the prompt is empty; give at least one token of text")
        if len(tokens) > self.context_length and not slides:
            raise ValueError(
                f"the prompt has {len(tokens)} tokens and the context holds {self.context_length}; shorten it"
                + self._longer_context_hint(len(tokens))
            )
        return tokens

    def _longer_context_hint(self, needed: int) -> str:
        longest = self._trained_context
        return f" or load the model with a context of up to {longest}" if needed <= longest else ""

    def _prompt_ids(
        self, prompt: str | Sequence[int], options: SamplingOptions, parse_special: bool = False
    ) -> list[int]:
        token_biases(options, self.tokenizer)  # refused before a session is taken
        ids = self.tokenizer.encode_prompt(prompt, parse_special) if isinstance(prompt, str) else prompt
        return self._checked_ids(ids, slides=options.context_overflow == "slide")

    def _generation(
        self, ids: list[int], options: SamplingOptions, rule: Constraint | None, lookup: bool
    ) -> Generation:
        session = self._take(ids, options)
        return Generation(
            session, ids, self.tokenizer, options, constraint=rule, lookup=lookup, release=self._keep
        )

    def _new_session(self, context_length: int, num_sinks: int | None = None) -> _native.Session:
        return self.native.new_session(context_length, self._adapters, self.kv_type, num_sinks)

    def _take(self, ids: list[int], options: SamplingOptions) -> _native.Session:
        slides = options.context_overflow == "slide"
        capacity = self.context_length
        if options.max_tokens is not None and not slides:
            # In powers of two, so that the next turn still fits.
            needed = max(len(ids) + options.max_tokens - 1, _LEAST_CAPACITY)
            capacity = min(1 << (needed - 1).bit_length(), capacity)
        return self._pool.take(ids, capacity, NUM_SINKS if slides else None, self._adapters)

    def _keep(self, session: _native.Session) -> None:
        if self._native is not None and session.adapters is self._adapters:
            self._pool.put(session)


def _is_sliding(context_overflow: ContextOverflow) -> bool:
    return SamplingOptions(context_overflow=context_overflow).context_overflow == "slide"
