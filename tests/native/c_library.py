"""phonelm.h for ctypes: the structs, and calls that raise what the library says."""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable
from pathlib import Path
from typing import Any

OK, BAD_ARGUMENT, REFUSED, SYSTEM, OUT_OF_MEMORY, NOT_FOUND, TOO_SMALL, INTERNAL = range(8)
PARSE_SPECIAL, PROMPT, WITH_SPECIAL, NO_TOKEN = 1, 2, 1, -1
STOP, LENGTH, CONTEXT, CANCELLED = 1, 2, 3, 4


class CallError(Exception):
    """A status other than OK."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Sized(c.Structure):
    """A struct that begins with its own size."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(c.sizeof(self), **fields)


class Error(c.Structure):
    _fields_ = [("message", c.c_char * 1024)]


class MachineInfo(Sized):
    _fields_ = [
        ("size", c.c_size_t),
        ("cpu", c.c_char_p),
        ("isas", c.c_char_p),
        ("memory_bytes", c.c_uint64),
        ("available_memory_bytes", c.c_uint64),
        ("num_cores", c.c_int32),
        ("num_physical_cores", c.c_int32),
    ]


class LoadOptions(Sized):
    _fields_ = [
        ("size", c.c_size_t),
        ("isa", c.c_char_p),
        ("kv_type", c.c_char_p),
        ("num_threads", c.c_int32),
        ("context_length", c.c_int32),
        ("dense_ffn", c.c_int32),
    ]


class ModelInfo(Sized):
    _fields_ = [
        ("size", c.c_size_t),
        *((name, c.c_char_p) for name in ("architecture", "isa", "name", "chat_template")),
        *((f"{name}_bytes", c.c_uint64) for name in ("file", "weight", "token_weight", "buffer", "kv")),
        *(
            (name, c.c_int32)
            for name in (
                "vocab_size",
                "context_length",
                "max_context_length",
                "num_layers",
                "hidden_size",
                "bos_token",
                "eos_token",
                "prefill_threads",
                "decode_threads",
            )
        ),
    ]


class SamplerOptions(Sized):
    _fields_ = [
        ("size", c.c_size_t),
        ("seed", c.c_uint64),
        ("temperature", c.c_float),
        ("top_p", c.c_float),
        ("min_p", c.c_float),
        ("top_k", c.c_int32),
        ("typical_p", c.c_float),
        ("repeat_penalty", c.c_float),
        ("presence_penalty", c.c_float),
        ("frequency_penalty", c.c_float),
        ("repeat_last_n", c.c_int32),
        ("dry_multiplier", c.c_float),
        ("dry_base", c.c_float),
        ("dry_allowed_length", c.c_int32),
        ("dry_penalty_last_n", c.c_int32),
        ("xtc_probability", c.c_float),
        ("xtc_threshold", c.c_float),
    ]


class SessionOptions(Sized):
    _fields_ = [
        ("size", c.c_size_t),
        ("kv_type", c.c_char_p),
        ("context_length", c.c_int32),
        ("slides", c.c_int32),
        ("num_sinks", c.c_int32),
    ]


class SessionInfo(Sized):
    _fields_ = [
        ("size", c.c_size_t),
        ("kv_type", c.c_char_p),
        ("kv_bytes", c.c_uint64),
        ("position", c.c_int32),
        ("num_dropped", c.c_int32),
        ("context_length", c.c_int32),
    ]


class Progress(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("text", c.c_void_p),
        ("num_bytes", c.c_size_t),
        ("token", c.c_int32),
        ("num_evaluated", c.c_int32),
    ]

    @property
    def bytes(self) -> bytes:
        return c.string_at(self.text, self.num_bytes)


class GenerateOptions(Sized):
    _fields_ = [("size", c.c_size_t), ("max_tokens", c.c_int32)]


class Generation(Sized):
    _fields_ = [
        ("size", c.c_size_t),
        ("prefill_s", c.c_double),
        ("decode_s", c.c_double),
        ("finish", c.c_int32),
        ("num_tokens", c.c_int32),
    ]


CALLBACK = c.CFUNCTYPE(c.c_int, c.POINTER(Progress), c.c_void_p)

# Parameters after the first handle and before the error.
_SIZE, _TOKENS = c.POINTER(c.c_size_t), c.POINTER(c.c_int32)
_PARAMETERS: dict[str, list[Any]] = {
    "machine_get_info": [c.POINTER(MachineInfo)],
    "bench_new": [c.POINTER(c.c_void_p)],
    "bench_ask": [c.c_void_p, c.c_char_p, c.c_size_t, c.POINTER(c.c_char_p)],
    "model_load": [c.c_char_p, c.POINTER(LoadOptions), c.POINTER(c.c_void_p)],
    "model_get_info": [c.c_void_p, c.POINTER(ModelInfo)],
    "model_get_text": [c.c_void_p, c.c_char_p, c.POINTER(c.c_char_p), _SIZE],
    "model_get_integer": [c.c_void_p, c.c_char_p, c.POINTER(c.c_int64)],
    "model_measure_bandwidth": [c.c_void_p, c.POINTER(c.c_double)],
    "tokenize": [c.c_void_p, c.c_char_p, c.c_size_t, c.c_uint32, _TOKENS, c.c_size_t, _SIZE],
    "detokenize": [c.c_void_p, _TOKENS, c.c_size_t, c.c_uint32, c.c_char_p, c.c_size_t, _SIZE],
    "token_bytes": [c.c_void_p, c.c_int32, c.c_uint32, c.c_char_p, c.c_size_t, _SIZE],
    "token_is_stop": [c.c_void_p, c.c_int32, _TOKENS],
    "sampler_new": [c.POINTER(SamplerOptions), c.POINTER(c.c_void_p)],
    "sampler_set_mask": [c.c_void_p, c.POINTER(c.c_uint32), c.c_size_t],
    "sampler_set_logit_bias": [c.c_void_p, _TOKENS, c.POINTER(c.c_float), c.c_size_t],
    "sampler_add_dry_breaker": [c.c_void_p, c.c_void_p, c.c_char_p, c.c_size_t],
    "session_new": [c.c_void_p, c.POINTER(SessionOptions), c.POINTER(c.c_void_p)],
    "session_save": [c.c_void_p, c.c_char_p],
    "session_restore": [c.c_void_p, c.c_char_p, c.c_int32, c.POINTER(c.c_void_p)],
    "session_get_info": [c.c_void_p, c.POINTER(SessionInfo)],
    "session_prefill": [c.c_void_p, _TOKENS, c.c_size_t],
    "session_sample": [c.c_void_p, c.c_void_p, _TOKENS],
    "session_step": [c.c_void_p, c.c_int32, c.c_void_p, _TOKENS],
    "session_logits": [c.c_void_p, c.POINTER(c.c_float), c.c_size_t, _SIZE],
    "session_truncate": [c.c_void_p, c.c_int32],
    "session_live_fractions": [c.c_void_p, c.POINTER(c.c_double), c.c_size_t, _SIZE],
    "generate": [
        *(c.c_void_p, c.c_void_p, _TOKENS, c.c_size_t, c.POINTER(GenerateOptions)),
        *(CALLBACK, c.c_void_p, c.POINTER(Generation)),
    ],
}
OF_A_HANDLE = [name for name, types in _PARAMETERS.items() if types[0] is c.c_void_p]


class Library:
    """`call("tokenize", ...)` and what tests need often."""

    def __init__(self, path: Path) -> None:
        self.raw = c.CDLL(str(path))
        self.raw.phonelm_version.restype = c.c_char_p
        for name, types in _PARAMETERS.items():
            self._function(name).argtypes = [*types, c.POINTER(Error)]
        for kind in ("model", "session", "sampler", "bench"):
            self._function(f"{kind}_free").argtypes = [c.c_void_p]

    def _function(self, name: str) -> Any:
        return getattr(self.raw, f"phonelm_{name}")

    def call(self, name: str, *arguments: Any) -> None:
        error = Error()
        status = self._function(name)(*arguments, c.byref(error))
        if status != OK:
            raise CallError(status, error.message.decode())

    def status(self, name: str, *arguments: Any) -> int:
        """The status alone; the library is given no error to write to."""
        return int(self._function(name)(*arguments, None))

    def nothing(self, name: str) -> list[Any]:
        """NULL and 0 for all parameters but the first."""
        return [kind(0) if kind is CALLBACK else self._zero(kind) for kind in _PARAMETERS[name][1:]]

    @staticmethod
    def _zero(kind: Any) -> Any:
        return None if kind in (c.c_void_p, c.c_char_p) or hasattr(kind, "contents") else 0

    def free(self, kind: str, handle: int | None) -> int:
        return int(self._function(f"{kind}_free")(handle))

    def load(self, path: Path, **options: Any) -> int:
        return self._new("model_load", str(path).encode(), c.byref(LoadOptions(**options)))

    def session(self, model: int, **options: Any) -> int:
        return self._new("session_new", model, c.byref(SessionOptions(**options)))

    def restore(self, model: int, path: Path, context_length: int = 0) -> int:
        return self._new("session_restore", model, str(path).encode(), context_length)

    def sampler(self, **options: Any) -> int:
        return self._new("sampler_new", c.byref(SamplerOptions(**options)))

    def bench(self) -> int:
        return self._new("bench_new")

    def ask(self, bench: int, request: bytes) -> str:
        answer = c.c_char_p()
        self.call("bench_ask", bench, request, len(request), c.byref(answer))
        assert answer.value is not None
        return answer.value.decode()

    def _new(self, name: str, *arguments: Any) -> int:
        handle = c.c_void_p()
        self.call(name, *arguments, c.byref(handle))
        assert handle.value is not None
        return handle.value

    def info(self, name: str, handle: int, kind: type[Sized]) -> Any:
        info = kind()
        self.call(f"{name}_get_info", handle, c.byref(info))
        return info

    def array(self, call: Callable[[Any, int, Any], None], kind: Any) -> list[Any]:
        """Ask for the size, then for the values."""
        size = c.c_size_t()
        try:
            call(None, 0, c.byref(size))
        except CallError as error:
            if error.status != TOO_SMALL:
                raise
        values = (kind * size.value)()
        call(values, size.value, c.byref(size))
        return list(values)

    def tokenize(self, model: int, text: bytes, flags: int = 0) -> list[int]:
        return self.array(lambda *to: self.call("tokenize", model, text, len(text), flags, *to), c.c_int32)

    def detokenize(self, model: int, tokens: list[int], flags: int = 0) -> bytes:
        ids = (c.c_int32 * len(tokens))(*tokens)
        parts = self.array(lambda *to: self.call("detokenize", model, ids, len(tokens), flags, *to), c.c_char)
        return b"".join(parts)

    def prefill(self, session: int, tokens: list[int]) -> None:
        self.call("session_prefill", session, (c.c_int32 * len(tokens))(*tokens), len(tokens))

    def logits(self, session: int) -> list[float]:
        return self.array(lambda *to: self.call("session_logits", session, *to), c.c_float)

    def step(self, session: int, token: int, sampler: int) -> int:
        following = c.c_int32()
        self.call("session_step", session, token, sampler, c.byref(following))
        return following.value

    def set_mask(self, sampler: int, allowed: set[int]) -> None:
        words = [0] * (max(allowed, default=0) // 32 + 1)
        for token in allowed:
            words[token // 32] |= 1 << token % 32
        self.call("sampler_set_mask", sampler, (c.c_uint32 * len(words))(*words), len(words))

    def generate(
        self,
        session: int,
        sampler: int,
        prompt: list[int],
        max_tokens: int = 0,
        on_progress: Callable[[Progress], int] = lambda _: 0,
    ) -> Generation:
        result = Generation()
        callback = CALLBACK(lambda progress, _: on_progress(progress.contents))
        ids = (c.c_int32 * len(prompt))(*prompt)
        options = c.byref(GenerateOptions(max_tokens=max_tokens))
        self.call("generate", session, sampler, ids, len(prompt), options, callback, None, c.byref(result))
        return result
