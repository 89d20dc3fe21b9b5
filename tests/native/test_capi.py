"""libphonelm through ctypes, against Python's module of the same core."""

from __future__ import annotations

import ctypes as c
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_library import (
    BAD_ARGUMENT,
    CALLBACK,
    CANCELLED,
    CONTEXT,
    LENGTH,
    NO_TOKEN,
    NOT_FOUND,
    OF_A_HANDLE,
    PARSE_SPECIAL,
    PROMPT,
    REFUSED,
    STOP,
    SYSTEM,
    TOO_SMALL,
    WITH_SPECIAL,
    CallError,
    GenerateOptions,
    Library,
    LoadOptions,
    MachineInfo,
    ModelInfo,
    Progress,
    SessionInfo,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from native_build import ROOT, program_folder

import phonelm
from phonelm import _native

HEADER = ROOT / "native" / "include" / "phonelm.h"
TEXT = "Tokens: naïve 日本 <|im_start|> \x00 end"


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(program_folder() / "libphonelm.so")


@pytest.fixture(scope="module")
def model(library: Library, tiny_gguf: Path) -> Iterator[int]:
    handle = library.load(tiny_gguf, num_threads=2)
    yield handle
    assert library.free("model", handle) == 0


@pytest.fixture(scope="module")
def reference(tiny_gguf: Path) -> Any:
    return phonelm.load(tiny_gguf, num_threads=2)


def position_of(library: Library, session: int) -> int:
    position: int = library.info("session", session, SessionInfo).position
    return position


def refused(call: Any, *arguments: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return caught.value


def test_version(library: Library) -> None:
    assert library.raw.phonelm_version().decode() == phonelm.__version__


@pytest.mark.parametrize("compiler", [["cc", "-std=c11", "-xc"], ["c++", "-std=c++20", "-xc++"]])
def test_the_header_is_plain(compiler: list[str]) -> None:
    if shutil.which(compiler[0]) is None:
        pytest.skip("needs a compiler")
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", str(HEADER)]
    run = subprocess.run([*compiler, *strict], capture_output=True, text=True)
    # C++ minds that a header is a main file.
    assert run.returncode == 0 or "pragma" in run.stderr, run.stderr


def test_nothing_else_is_exported() -> None:
    if shutil.which("nm") is None:
        pytest.skip("needs nm")
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", program_folder() / "libphonelm.so"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line.split()[-1] for line in listing.stdout.splitlines()}
    declared = {word for word in HEADER.read_text().replace("(", " ").split() if word.startswith("phonelm_")}
    assert all(name.startswith("phonelm_") for name in names)
    assert names <= declared


def test_the_machine(library: Library) -> None:
    info = MachineInfo()
    library.call("machine_get_info", c.byref(info))
    assert info.num_cores == _native.num_usable_cores()
    assert info.isas.decode().split(",") == _native.cpu_info()["isas"]
    assert 0 < info.available_memory_bytes <= info.memory_bytes


def test_measuring_operators(library: Library) -> None:
    bench = library.bench()
    assert float(library.ask(bench, b"embed vocab=64 hidden=64 min_ms=0.1")) > 0
    assert library.ask(bench, b"embed vocab=64 hidden=64 \0").startswith("error: ")
    assert library.ask(bench, b"machine") == _native.OperatorBench().answer("machine")
    assert library.free("bench", bench) == 0


def test_what_a_model_is(library: Library, model: int, reference: Any) -> None:
    info = library.info("model", model, ModelInfo)
    native = reference.native
    assert info.architecture.decode() == reference.metadata["general.architecture"]
    assert info.name.decode() == reference.metadata["general.name"]
    assert info.chat_template is None
    assert info.isa.decode() == native.isa
    assert (info.vocab_size, info.context_length, info.num_layers) == (288, 96, 2)
    assert (info.bos_token, info.eos_token) == (reference.tokenizer.bos_id, reference.tokenizer.eos_id)
    assert (info.weight_bytes, info.file_bytes) == (native.weight_bytes, native.file_bytes)
    assert (info.buffer_bytes, info.kv_bytes) == (native.buffer_bytes, native.kv_bytes(96))
    assert (info.prefill_threads, info.decode_threads) == (2, 2)


def test_metadata(library: Library, model: int, reference: Any) -> None:
    text, size, number = c.c_char_p(), c.c_size_t(), c.c_int64()
    library.call("model_get_text", model, b"tokenizer.ggml.model", c.byref(text), c.byref(size))
    assert text.value == reference.metadata["tokenizer.ggml.model"].encode()
    assert size.value == len(text.value)
    key = f"{reference.metadata['general.architecture']}.block_count".encode()
    library.call("model_get_integer", model, key, c.byref(number))
    assert number.value == 2
    wrong = refused(library.call, "model_get_text", model, key, c.byref(text), None)
    assert wrong.status == REFUSED
    missing = refused(library.call, "model_get_text", model, b"no.such", c.byref(text), None)
    assert (missing.status, str(missing)) == (NOT_FOUND, "the file has no no.such")


def test_text_to_tokens_and_back(library: Library, model: int, reference: Any) -> None:
    for special in (False, True):
        tokens = library.tokenize(model, TEXT.encode(), PARSE_SPECIAL if special else 0)
        assert tokens == reference.tokenizer.encode(TEXT, parse_special=special)
    prompt = library.tokenize(model, TEXT.encode(), PROMPT)
    assert prompt == reference.tokenizer.encode_prompt(TEXT)
    for flags in (0, WITH_SPECIAL):
        native = reference.native.tokenizer
        assert library.detokenize(model, tokens, flags) == native.decode(tokens, bool(flags))
    assert library.tokenize(model, b"") == []
    assert library.detokenize(model, []) == b""


def test_bytes_and_ends(library: Library, model: int, reference: Any) -> None:
    buffer, size, answer = c.create_string_buffer(64), c.c_size_t(), c.c_int32()
    for token in range(288):
        library.call("token_bytes", model, token, WITH_SPECIAL, buffer, 64, c.byref(size))
        assert buffer.raw[: size.value] == reference.tokenizer.token_bytes(token, with_special=True)
        library.call("token_is_stop", model, token, c.byref(answer))
        assert bool(answer.value) == (token in reference.tokenizer.stop_ids)
    for token in (-1, 288):
        assert refused(library.call, "token_is_stop", model, token, c.byref(answer)).status == REFUSED


def test_a_buffer_that_is_too_small_is_left_alone(library: Library, model: int) -> None:
    tokens, size = (c.c_int32 * 2)(7, 7), c.c_size_t()
    failure = refused(library.call, "tokenize", model, b"abc", 3, 0, tokens, 2, c.byref(size))
    assert (failure.status, size.value, list(tokens)) == (TOO_SMALL, 3, [7, 7])


def test_logits_are_those_of_python(library: Library, model: int, reference: Any) -> None:
    session, sampler = library.session(model, context_length=32), library.sampler()
    expected = reference.native.new_session(32)
    assert refused(library.logits, session).status == REFUSED
    for tokens in ([5, 6, 7], [8]):
        library.prefill(session, tokens)
        expected.prefill(tokens)
        np.testing.assert_array_equal(library.logits(session), expected.logits())
    token = library.step(session, 9, sampler)
    assert token == expected.step([9], _native.Sampler())
    info = library.info("session", session, SessionInfo)
    assert (info.position, info.context_length, info.kv_bytes) == (5, 32, expected.kv_bytes)
    library.call("session_truncate", session, 3)
    expected.truncate(3)
    library.prefill(session, [1])
    expected.prefill([1])
    np.testing.assert_array_equal(library.logits(session), expected.logits())
    assert refused(library.call, "session_truncate", session, 9).status == REFUSED
    for kind, handle in (("session", session), ("sampler", sampler)):
        assert library.free(kind, handle) == 0


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.8, "top_p": 0.9, "seed": 7}, {"temperature": 1.5, "top_k": 9, "min_p": 0.01}],
)
def test_generation_is_that_of_python(
    library: Library, model: int, reference: Any, options: dict[str, Any]
) -> None:
    prompt = reference.tokenizer.encode("hello")
    pieces, tokens, parts = [], [], []

    def gather(progress: Progress) -> int:
        pieces.append(progress.bytes.decode())
        (parts if progress.token == NO_TOKEN else tokens).append(progress.token)
        return 0

    result = library.generate(library.session(model), library.sampler(**options), prompt, 40, gather)
    expected = reference.generate(prompt, max_tokens=40, **{"seed": 0, **options})
    assert "".join(pieces) == "".join(expected)
    assert tokens == expected.tokens
    assert (result.num_tokens, result.finish) == (
        len(tokens),
        {"length": 2, "stop": 1}[expected.finish_reason],
    )
    assert result.prefill_s > 0


def test_a_full_context_ends_generation(library: Library, model: int) -> None:
    session = library.session(model, context_length=8)
    result = library.generate(session, library.sampler(), [1, 2, 3])
    assert (result.finish, result.num_tokens) == (CONTEXT, 6)
    failure = refused(library.generate, session, library.sampler(), [1])
    assert failure.status == REFUSED
    assert "room for 0" in str(failure)


def test_the_callback_cancels(library: Library, model: int) -> None:
    session = library.session(model)
    seen = []

    def cancel(progress: Progress) -> int:
        seen.append(progress.token)
        return len(seen) == 4

    result = library.generate(session, library.sampler(), [1, 2], 0, cancel)
    assert (result.finish, result.num_tokens, seen[0]) == (CANCELLED, 3, NO_TOKEN)
    # It may look at its session, and what was cancelled goes on where it was.
    result = library.generate(
        session,
        library.sampler(),
        [],
        2,
        lambda _: library.info("session", session, SessionInfo).position > 99,
    )
    assert (result.finish, result.num_tokens) == (LENGTH, 2)


def test_a_cancel_is_heard_within_the_prompt(library: Library, tiny_long_gguf: Path) -> None:
    model = library.load(tiny_long_gguf)
    session = library.session(model)
    evaluated = []

    def cancel(progress: Progress) -> int:
        evaluated.append(progress.num_evaluated)
        return 1

    result = library.generate(session, library.sampler(), [1] * 2000, 5, cancel)
    assert (result.finish, result.num_tokens, evaluated) == (CANCELLED, 0, [512])
    assert library.info("session", session, SessionInfo).position == 512
    assert library.free("model", model) == 0


@settings(max_examples=60, deadline=None)
@given(data=st.one_of(st.binary(max_size=40), st.text(max_size=20).map(str.encode)))
def test_pieces_are_whole_characters(library: Library, model: int, data: bytes) -> None:
    # The mask leaves one token at a time, the next byte: a byte's token has its number.
    sampler, session, pieces, left = library.sampler(), library.session(model), [], list(data)

    def force(progress: Progress) -> int:
        pieces.append(progress.bytes.decode("utf-8"))
        if left:
            library.set_mask(sampler, {left.pop(0)})
            return 0
        return 1

    library.generate(session, sampler, [1], 0, force)
    assert "".join(pieces) == data.decode("utf-8", "replace")
    library.free("session", session)
    library.free("sampler", sampler)


def test_masks(library: Library, model: int) -> None:
    session, sampler = library.session(model), library.sampler(temperature=2.0, seed=3)
    library.prefill(session, [1, 2, 3])
    drawn = c.c_int32()

    def draw() -> int:
        library.call("session_sample", session, sampler, c.byref(drawn))
        return drawn.value

    library.set_mask(sampler, {5, 64, 200})
    assert {draw() for _ in range(100)} == {5, 64, 200}
    library.set_mask(sampler, set())
    assert refused(draw).status == REFUSED
    library.call("sampler_set_mask", sampler, None, 0)
    assert len({draw() for _ in range(100)}) > 3


def set_bias(library: Library, sampler: int, biases: dict[int, float]) -> None:
    tokens, values = (c.c_int32 * len(biases))(*biases), (c.c_float * len(biases))(*biases.values())
    library.call("sampler_set_logit_bias", sampler, tokens, values, len(biases))


def test_biases_and_breakers_are_those_of_python(library: Library, model: int, reference: Any) -> None:
    options = {"temperature": 1.0, "seed": 3, "dry_multiplier": 2.0, "dry_allowed_length": 1}
    options |= {"xtc_probability": 0.5, "xtc_threshold": 0.02}
    prompt = list(b"abcabc")
    for breakers in ([], ["a", "bc"]):
        sampler, tokens = library.sampler(**options), []
        set_bias(library, sampler, {97: 3.0, 98: float("-inf")})
        for text in breakers:
            library.call("sampler_add_dry_breaker", sampler, model, text.encode(), len(text))
        session = library.session(model)
        library.generate(session, sampler, prompt, 30, lambda p, to=tokens: to.append(p.token) or 0)
        biases = {97: 3.0, 98: False}
        expected = reference.generate(
            prompt, max_tokens=30, logit_bias=biases, dry_sequence_breakers=breakers, **options
        )
        assert expected.text
        assert [token for token in tokens if token != NO_TOKEN] == expected.tokens


def test_bans_are_lifted_and_refused(library: Library, model: int) -> None:
    session, sampler = library.session(model), library.sampler()
    library.prefill(session, [1, 2, 3])
    vocab = len(library.logits(session))
    drawn = c.c_int32()
    set_bias(library, sampler, dict.fromkeys(range(vocab), float("-inf")))
    assert refused(library.call, "session_sample", session, sampler, c.byref(drawn)).status == REFUSED
    set_bias(library, sampler, {})
    library.call("session_sample", session, sampler, c.byref(drawn))
    for wrong in ({-1: 0.0}, {1: float("nan")}, {1: float("inf")}):
        assert refused(set_bias, library, sampler, wrong).status == REFUSED
    assert refused(library.call, "sampler_add_dry_breaker", sampler, model, b"", 0).status == REFUSED


@pytest.mark.parametrize("name", OF_A_HANDLE)
def test_what_is_no_handle_is_refused(library: Library, model: int, name: str) -> None:
    kind = name.split("_")[0]
    freed = library.session(model)
    assert library.free("session", freed) == 0
    if name in ("session_new", "session_restore"):
        kind = "model"
    own_kind = {"generate": "session"}.get(kind, kind if kind in ("session", "sampler", "bench") else "model")
    others = {
        "model": model,
        "session": library.session(model),
        "sampler": library.sampler(),
        "bench": library.bench(),
    }
    wrong = [None, 1 << 40, 0xDEADBEEF, freed, *(others[kind] for kind in others if kind != own_kind)]
    for handle in wrong:
        assert library.status(name, handle, *library.nothing(name)) == BAD_ARGUMENT
    # The right handle with nothing else: refused by what is missing, or harmless.
    library.status(name, others[own_kind], *library.nothing(name))


@pytest.mark.parametrize("kind", ["model", "session", "sampler", "bench"])
def test_a_handle_is_freed_once(library: Library, model: int, tiny_gguf: Path, kind: str) -> None:
    make = {
        "model": lambda: library.load(tiny_gguf),
        "session": lambda: library.session(model),
        "bench": library.bench,
    }
    handle = make.get(kind, library.sampler)()
    assert library.free(kind, None) == 0
    assert library.free(kind, handle) == 0
    assert library.free(kind, handle) == BAD_ARGUMENT


def test_null_outputs_are_refused(library: Library, model: int) -> None:
    sampler = library.sampler()
    session = library.session(model)
    library.prefill(session, [1])
    for name, arguments in {
        "model_load": [b"x.gguf", None, None],
        "model_get_info": [model, None],
        "model_get_text": [model, b"general.name", None, None],
        "session_new": [model, None, None],
        "sampler_new": [None, None],
        "session_sample": [session, sampler, None],
        "session_step": [session, 1, sampler, None],
        "session_logits": [session, None, 0, None],
        "session_prefill": [session, None, 3],
        "tokenize": [model, None, 3, 0, None, 0, None],
        "generate": [session, sampler, None, 2, None, CALLBACK(0), None, None],
        "machine_get_info": [None],
    }.items():
        failure = refused(library.call, name, *arguments)
        assert failure.status == BAD_ARGUMENT
        assert str(failure).endswith("is NULL")


def test_options_of_other_versions(library: Library, tiny_gguf: Path) -> None:
    class Larger(c.Structure):
        _fields_ = [("known", LoadOptions), ("later", c.c_int64)]

    def load(options: Any, size: int) -> int:
        c.cast(c.byref(options), c.POINTER(c.c_size_t))[0] = size
        handle = c.c_void_p()
        pointer = c.cast(c.byref(options), c.POINTER(LoadOptions))
        library.call("model_load", str(tiny_gguf).encode(), pointer, c.byref(handle))
        return library.free("model", handle.value)

    assert load(Larger(LoadOptions(), 0), c.sizeof(Larger)) == 0
    assert load(LoadOptions(num_threads=-5), c.sizeof(c.c_size_t)) == 0  # only the size is read
    for options, size in (
        (Larger(LoadOptions(), 1), c.sizeof(Larger)),
        (LoadOptions(), 0),
        (LoadOptions(), 9999),
    ):
        assert refused(load, options, size).status == BAD_ARGUMENT


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"num_threads": -1}, "threads is -1"),
        ({"num_threads": 1000}, "threads is 1000"),
        ({"context_length": 97}, "context length is 97; this model takes 1 to 96"),
        ({"context_length": -1}, "context length is -1"),
        ({"isa": b"altivec"}, "instruction set 'altivec'"),
    ],
)
def test_load_options_out_of_range(
    library: Library, tiny_gguf: Path, options: dict[str, Any], problem: str
) -> None:
    failure = refused(lambda: library.load(tiny_gguf, **options))
    assert failure.status == REFUSED
    assert str(failure).startswith(problem)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1},
        {"top_k": -1},
        {"top_p": 1.5},
        {"min_p": float("nan")},
        {"dry_multiplier": -1},
        {"dry_base": 0.5},
        {"dry_allowed_length": -1},
        {"xtc_probability": 0.5},
    ],
)
def test_sampler_options_out_of_range(library: Library, options: dict[str, Any]) -> None:
    assert refused(lambda: library.sampler(**options)).status == REFUSED


def test_files_that_are_no_models(library: Library, tmp_path: Path) -> None:
    missing = refused(library.load, tmp_path / "nothing.gguf")
    assert missing.status == SYSTEM
    assert "nothing.gguf" in str(missing)
    broken = tmp_path / ("long" * 50) / ("name" * 50) / "\u00e4\n.gguf"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"GGUF" + bytes(100))
    failure = refused(library.load, broken)
    assert failure.status == REFUSED


def test_a_long_message_is_cut_between_characters(library: Library, model: int) -> None:
    failure = refused(library.call, "model_get_text", model, "ä".encode() * 2000, c.byref(c.c_char_p()), None)
    assert len(str(failure).encode()) in (1022, 1023)


def test_a_session_outlives_its_model(library: Library, tiny_gguf: Path) -> None:
    model = library.load(tiny_gguf)
    session = library.session(model)
    library.prefill(session, [1, 2])
    before = library.logits(session)
    assert library.free("model", model) == 0
    library.call("session_truncate", session, 0)
    library.prefill(session, [1, 2])
    assert library.logits(session) == before
    assert library.free("session", session) == 0


def test_threads_share_a_model(library: Library, tiny_gguf: Path) -> None:
    model = library.load(tiny_gguf)
    prompts = [[1, 2, 3], [4, 5], [6], [7, 8, 9, 10]]

    def run(prompt: list[int], out: dict[int, list[int]]) -> None:
        session, tokens = library.session(model), []
        library.generate(session, library.sampler(), prompt, 60, lambda p: tokens.append(p.token) or 0)
        library.free("session", session)
        out[prompt[0]] = tokens

    alone: dict[int, list[int]] = {}
    for prompt in prompts:
        run(prompt, alone)
    together: dict[int, list[int]] = {}
    threads = [threading.Thread(target=run, args=(prompt, together)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_a_saved_session_goes_on(library: Library, tiny_gguf: Path, tmp_path: Path, kv_type: str) -> None:
    model = library.load(tiny_gguf, kv_type=kv_type.encode(), num_threads=1)
    session, path = library.session(model, context_length=40), tmp_path / "session"
    library.prefill(session, [1, 2, 3])
    library.call("session_save", session, str(path).encode())
    restored = library.restore(model, path)
    info = library.info("session", restored, SessionInfo)
    assert (info.position, info.context_length, info.kv_type.decode()) == (3, 40, kv_type)
    assert library.logits(restored) == library.logits(session)
    for one in (session, restored):
        library.prefill(one, [4])
    assert library.logits(restored) == library.logits(session)
    expected = phonelm.load(tiny_gguf, num_threads=1).native.new_session(40, kv_type=kv_type)
    expected.prefill([1, 2, 3])
    expected.prefill([4])
    np.testing.assert_array_equal(library.logits(session), expected.logits())
    path.write_bytes(path.read_bytes()[:-1])
    assert refused(library.restore, model, path).status == REFUSED
    assert refused(library.restore, model, tmp_path / "none").status == SYSTEM
    missing_folder = str(tmp_path / "none" / "x").encode()
    assert refused(library.call, "session_save", session, missing_folder).status == SYSTEM


def test_a_context_slides_on_request(library: Library, model: int, reference: Any) -> None:
    session = library.session(model, context_length=40, slides=1)
    tokens: list[int] = []
    result = library.generate(session, library.sampler(), [1, 2], 60, lambda p: tokens.append(p.token) or 0)
    assert result.finish in (LENGTH, STOP)
    info = library.info("session", session, SessionInfo)
    assert info.num_dropped > 0
    expected = reference.native.new_session(40, num_sinks=4)
    expected.prefill([1, 2])
    sampler = _native.Sampler()
    first = expected.sample(sampler)
    assert tokens[1:] == [first, *expected.decode(first, sampler, result.num_tokens - 1)]
    assert refused(lambda: library.session(model, num_sinks=4)).status == REFUSED
    assert refused(lambda: library.session(model, kv_type=b"f64")).status == REFUSED


def test_a_handle_may_be_freed_within_a_call(library: Library, tiny_gguf: Path) -> None:
    model = library.load(tiny_gguf)
    session, sampler = library.session(model), library.sampler()

    def free_all(progress: Progress) -> int:
        if progress.token != NO_TOKEN:
            library.free("session", session), library.free("sampler", sampler), library.free("model", model)
        return 0

    result = library.generate(session, sampler, [1], 20, free_all)
    assert (result.finish, result.num_tokens) == (LENGTH, 20)
    assert library.status("session_truncate", session, 0) == BAD_ARGUMENT


def test_defaults_need_no_options(library: Library, model: int) -> None:
    session, sampler = c.c_void_p(), c.c_void_p()
    library.call("session_new", model, None, c.byref(session))
    library.call("sampler_new", None, c.byref(sampler))
    prompt = (c.c_int32 * 2)(1, 2)
    library.call("generate", session, sampler, prompt, 2, None, CALLBACK(0), None, None)
    assert library.info("session", session.value, SessionInfo).position == 96
    assert refused(library.generate, session.value, sampler.value, [], -1).status == REFUSED
    assert GenerateOptions().max_tokens == 0


def test_live_neurons(library: Library, tmp_path: Path) -> None:
    from phonelm.formats import write_random_gguf
    from shapes import TINY

    path = tmp_path / "relu.gguf"
    config = TINY.model_copy(update={"activation": "relu"})
    write_random_gguf(path, config, block_type="q4_0", seed=2)
    for dense, num_layers in ((0, 2), (1, 0)):
        model = library.load(path, dense_ffn=dense)
        session = library.session(model)
        for token in ([1, 2], [3], [4]):
            library.prefill(session, token)
        live = library.array(lambda *to: library.call("session_live_fractions", session, *to), c.c_double)  # noqa: B023
        assert len(live) == num_layers
        assert all(0.2 < share < 0.8 for share in live)
