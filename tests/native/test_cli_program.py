"""phonelm-cli as a user runs it, against the Python runtime of the same core."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from native_build import program_folder, windows_command

import phonelm
from phonelm import _native
from phonelm.bench import BenchResult

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
VERBS = ["generate", "bench", "tokenize", "machine", "measure"]
TEXT = "Grüße aus Zürich — 東京 🙂\r\n\tend"


@pytest.fixture(scope="module")
def program() -> Path:
    return program_folder() / "phonelm-cli"


@pytest.fixture(scope="module", params=["here", pytest.param("windows", marks=pytest.mark.slow)])
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    if request.param == "here":
        return [str(program_folder() / "phonelm-cli")]
    command = windows_command()
    os.environ |= {"WINEPREFIX": str(tmp_path_factory.mktemp("wine")), "WINEDEBUG": "-all"}
    # The first run makes the folder of a system, and says so.
    subprocess.run([*command, "--version"], capture_output=True, timeout=300, check=True)
    return command


@pytest.fixture
def cli(command: list[str]) -> Cli:
    def run(*words: object, text: str = "") -> subprocess.CompletedProcess[str]:
        line = [*command, *map(str, words)]
        # As bytes: text mode would change the ends of lines.
        done = subprocess.run(line, input=text.encode(), capture_output=True, timeout=120)
        out, err = (stream.decode(errors="surrogateescape") for stream in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(line, done.returncode, out, err)

    return run

    return run


def test_it_needs_nothing_at_run_time(program: Path) -> None:
    if shutil.which("ldd") is None:
        pytest.skip("needs ldd")
    listing = subprocess.run(["ldd", program], capture_output=True, text=True)
    assert "not a dynamic executable" in listing.stdout + listing.stderr


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version").stdout == f"phonelm-cli {phonelm.__version__}\n"
    general = cli("--help")
    assert general.returncode == 0
    for verb in VERBS:
        assert f"\n  {verb} " in general.stdout
        own = cli(verb, "--help")
        assert own.returncode == 0
        assert f"Example:\n  phonelm-cli {verb}" in own.stdout


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["chat"], "there is no verb 'chat'"),
        (["generate"], "the model is missing"),
        (["generate", "m.gguf", "--prompt"], "--prompt needs a value"),
        (["bench", "m.gguf", "n.gguf"], "one model too many"),
        (["generate", "m.gguf", "once", "upon"], "a text too many"),
        (["generate", "m.gguf", "once", "-p", "upon"], "given twice"),
        (["generate", "m.gguf", "-p", "a", "--stop", ""], "--stop is an empty text"),
        (["generate", "m.gguf", "-p", "a", "--logit-bias", "5"], "--logit-bias is '5'"),
        (["generate", "m.gguf", "-p", "a", "--logit-bias", "5+x"], "--logit-bias is '5+x'"),
        (["generate", "m.gguf", "-p", "a", "--colour", "red"], "there is no option --colour"),
        (["generate", "m.gguf", "-p", "a", "--max-tokens", "many"], "--max-tokens is 'many'"),
        (["generate", "m.gguf", "-p", "a", "--max-tokens=0"], "--max-tokens is '0'"),
        (["generate", "m.gguf", "-p", "a", "--json=yes"], "takes no value"),
        (["generate", "m.gguf", "-p", "a", "--seed", "-1"], "--seed is '-1'"),
        (["tokenize", "m.gguf"], "either --file or --text"),
        (["tokenize", "m.gguf", "--text", "a", "--file", "b"], "either --file or --text"),
        (["bench", "m.gguf", "--threads", "257"], "--threads is '257'"),
        (["machine", "m.gguf"], "is no option"),
        (["measure", "norm"], "is no option"),
    ],
)
def test_wrong_usage(cli: Cli, words: list[str], problem: str) -> None:
    run = cli(*words)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("phonelm-cli: ")
    assert problem in run.stderr
    assert run.stderr.count("\n") == 1


def test_nothing_at_all_shows_the_help(cli: Cli) -> None:
    run = cli()
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("Usage: ")


def test_failures_are_one_line(cli: Cli, tiny_gguf: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_gguf.read_bytes()[:1000])
    for words, problem in [
        (["generate", tmp_path / "none.gguf", "-p", "a"], "none.gguf"),
        (["generate", broken, "-p", "a"], "broken.gguf"),
        (["generate", tiny_gguf, "-p", ""], "prompt is empty"),
        (["generate", tiny_gguf, "-p", "a" * 97], "97 tokens"),
        (["generate", tiny_gguf, "-p", "a", "--context", "500"], "context length is 500"),
        (["generate", tiny_gguf, "-p", "a", "--temperature", "-1"], "temperature"),
        (["generate", tiny_gguf, "-p", "a", "--isa", "mmx"], "instruction set 'mmx'"),
        (["tokenize", tiny_gguf, "--file", tmp_path / "none.txt"], "none.txt"),
        (["tokenize", tiny_gguf, "--file", tmp_path], str(tmp_path)),
        (["bench", tiny_gguf], "context length is 640"),
    ]:
        run = cli(*words)
        assert (run.returncode, run.stdout) == (1, ""), words
        assert problem in run.stderr
        assert run.stderr.count("\n") == 1


def test_the_same_text_as_python(cli: Cli, tiny_gguf: Path) -> None:
    with phonelm.load(tiny_gguf, num_threads=1) as model:
        penalties = {"repeat_penalty": 1.5, "presence_penalty": 0.25, "frequency_penalty": 0.125}
        for options in (
            {"temperature": 0},
            {"temperature": 0.9, "top_k": 40, "top_p": 0.8, "min_p": 0.01},
            {"temperature": 0, **penalties},
            {"temperature": 1, **penalties, "repeat_last_n": 7, "typical_p": 0.5},
            {"temperature": 1, **penalties, "repeat_last_n": -1},
            {"temperature": 1, **penalties, "repeat_last_n": 0},
            {"temperature": 0, "dry_multiplier": 3, "dry_base": 2, "dry_allowed_length": 1},
            {"temperature": 1, "dry_multiplier": 1, "dry_penalty_last_n": 9, "xtc_probability": 0.5},
            {"temperature": 1, "xtc_probability": 1, "xtc_threshold": 0.01},
            {"temperature": 0, "dry_multiplier": 9, "dry_penalty_last_n": 0},
        ):
            words = [
                word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)
            ]
            common = [tiny_gguf, "--prompt", "hello", "--max-tokens", 40, "--seed", 5, "--threads", 1]
            expected = model.generate("hello", max_tokens=40, **{"top_p": 0.95, "seed": 5, **options})
            text = "".join(expected)
            assert cli("generate", *common, *words).stdout == text + "\n"
            document = json.loads(cli("generate", *common, *words, "--json").stdout)
            assert (document["text"], document["tokens"]) == (text, expected.tokens)
            assert document["finish_reason"] == expected.finish_reason
            assert (document["prompt_tokens"], document["completion_tokens"]) == (5, len(expected.tokens))
            assert (document["prompt"], document["seed"]) == ("hello", 5)


def test_the_prompt_may_come_from_standard_input(cli: Cli, tiny_gguf: Path) -> None:
    words = ["generate", tiny_gguf, "-n", 5, "--temperature", "0", "--json"]
    named = json.loads(cli(*words, "-p", TEXT).stdout)
    piped = json.loads(cli(*words, "-p", "-", text=TEXT).stdout)
    assert (named["tokens"], named["prompt"]) == (piped["tokens"], TEXT)
    assert piped["prompt"] == TEXT
    assert json.loads(cli(*words, text=TEXT).stdout) | {"prefill_tok_s": 0, "decode_tok_s": 0, "seed": 0} == (
        json.loads(cli(*words[:2], TEXT, *words[2:]).stdout)
        | {"prefill_tok_s": 0, "decode_tok_s": 0, "seed": 0}
    )
    for end in ("\n", "\r\n"):
        assert json.loads(cli(*words, "-p", "-", text=TEXT + end).stdout)["prompt"] == TEXT


def test_stop_texts_and_biases(cli: Cli, tiny_gguf: Path) -> None:
    words = ["generate", tiny_gguf, "-p", "hello", "-n", 40, "--temperature", 0, "--threads", 1]
    biases = ["--logit-bias", "97+1.5", "--logit-bias", "98-inf", "--dry-multiplier", 1]
    breakers = ["--dry-sequence-breaker", "a", "--dry-sequence-breaker", "b"]
    given = {"logit_bias": {97: 1.5, 98: False}, "dry_multiplier": 1, "dry_sequence_breakers": ["a", "b"]}
    with phonelm.load(tiny_gguf, num_threads=1) as model:
        expected = model.generate("hello", max_tokens=40, **given)
        assert cli(*words, *biases, *breakers).stdout == expected.text + "\n"
        text = expected.text
        for stops in ([text[8:11]], ["no such text", text[20:22]], [text[5:7] + "x"]):
            stopped = model.generate("hello", max_tokens=40, stop=stops, **given)
            options = [word for stop in stops for word in ("--stop", stop)]
            document = json.loads(cli(*words, *biases, *breakers, *options, "--json").stdout)
            assert document["text"] == stopped.text
            assert document["finish_reason"] == stopped.finish_reason
            assert cli(*words, *biases, *breakers, *options).stdout == stopped.text + "\n"


def test_control_tokens_on_request(cli: Cli, tiny_gguf: Path) -> None:
    words = ["generate", tiny_gguf, "-n", 1, "--json", "-p", "a<|endoftext|>"]
    assert json.loads(cli(*words).stdout)["prompt_tokens"] == 14
    assert json.loads(cli(*words, "--parse-special").stdout)["prompt_tokens"] == 2


def test_a_full_context_is_said(cli: Cli, tiny_gguf: Path) -> None:
    run = cli("generate", tiny_gguf, "-p", "abc", "-n", 500, "--context", 20, "--temperature", 0)
    assert run.returncode == 0
    assert run.stderr == "phonelm-cli: the context of 20 tokens is full\n"


def test_a_context_slides_on_request(cli: Cli, tiny_gguf: Path) -> None:
    words = ["generate", tiny_gguf, "-p", "abc", "-n", 60, "--context", 40, "--temperature", 0, "--json"]
    assert json.loads(cli(*words).stdout)["finish_reason"] == "context"
    document = json.loads(cli(*words, "--slide", "--kv", "q8_0").stdout)
    assert document["finish_reason"] in ("length", "stop")
    assert cli(*words, "--kv", "f64").returncode == 1


def test_token_ids(cli: Cli, tiny_gguf: Path, tmp_path: Path) -> None:
    tokenizer = _native.Model.load(str(tiny_gguf)).tokenizer
    data = TEXT.encode() + b"\x00\xff\xfe<|endoftext|>"
    path = tmp_path / "text"
    path.write_bytes(data)
    for words, special in (([], False), (["--parse-special"], True)):
        run = cli("tokenize", tiny_gguf, "--file", path, *words)
        assert list(map(int, run.stdout.split())) == tokenizer.encode(data, special)
    assert cli("tokenize", tiny_gguf, "--text", TEXT, "--count").stdout == f"{len(TEXT.encode())}\n"
    assert cli("tokenize", tiny_gguf, "--file", "-", text="ab").stdout == "97 98\n"
    assert cli("tokenize", tiny_gguf, "--text", "").stdout == "\n"


def test_measuring_by_lines(cli: Cli) -> None:
    requests = [
        "embed vocab=64 hidden=64 min_ms=0.1",
        "",
        "embed vocab=64 hidden=64 min_ms=0.1 \0",
        "machine",
    ]
    run = cli("measure", text="\n".join(requests))
    number, *errors, machine = run.stdout.splitlines()
    assert run.returncode == 0
    assert float(number) > 0
    assert [error[:6] for error in errors] == ["error:"] * 2
    expected = json.loads(_native.OperatorBench().answer("machine"))
    answer = json.loads(machine)
    assert answer.keys() == expected.keys()
    assert answer == expected or answer["system"].startswith("Windows")


def test_answers_do_not_wait_for_the_end_of_the_requests(program: Path) -> None:
    with subprocess.Popen(
        [program, "measure"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdin
        assert run.stdout
        for _ in range(3):
            run.stdin.write("embed vocab=64 hidden=64 min_ms=0.1\n")
            run.stdin.flush()
            assert float(run.stdout.readline()) > 0
        run.stdin.close()
        assert run.wait(timeout=60) == 0


def test_a_request_without_an_end_is_refused(cli: Cli) -> None:
    run = cli("measure", text="a" * 70_000)
    assert (run.returncode, run.stdout) == (1, "")
    assert "longer than 64 KiB" in run.stderr


def test_the_machine(cli: Cli) -> None:
    machine = json.loads(cli("machine").stdout)
    assert machine["num_cores"] == _native.num_usable_cores()
    here = _native.cpu_info()["isas"]
    on_linux = machine["system"].startswith("Linux")
    assert machine["isas"] == [isa for isa in here if on_linux or isa != "amx"]
    assert machine["memory_bytes"] >= machine["available_memory_bytes"] > 0


def test_bench_names_its_figures_as_python_does(cli: Cli, tiny_gguf: Path) -> None:
    words = ["bench", tiny_gguf, "--prefill", 32, "--decode", 8, "--repeats", 2, "--threads", 1]
    document = json.loads(cli(*words, "--json").stdout)
    assert document["machine"].keys() >= {"model", "system", "num_cores", "isas", "memory_bytes"}
    (result,) = document["results"]
    assert result.keys() <= BenchResult.model_fields.keys()
    assert (result["prompt_tokens"], result["generated_tokens"], result["repeats"]) == (32, 8, 2)
    for name in ("prefill_tok_s", "decode_tok_s", "first_token_s"):
        assert 0 < result[name]["low"] <= result[name]["median"] <= result[name]["high"]
    parts = ("base_bytes", "weight_bytes", "kv_bytes", "buffer_bytes")
    assert sum(result[name] for name in parts) >= result["peak_rss_bytes"] > 0
    assert result["kv_type"] == "f16"
    assert result["isa"] == _native.Model.load(str(tiny_gguf)).isa
    assert "tokens/s" in cli(*words).stdout


def test_dead_neurons_are_counted(cli: Cli, tmp_path: Path) -> None:
    from phonelm.formats import write_random_gguf
    from shapes import TINY

    path = tmp_path / "relu.gguf"
    config = TINY.model_copy(update={"activation": "relu"})
    write_random_gguf(path, config, block_type="q4_0", seed=2)
    words = ["bench", path, "--prefill", 8, "--decode", 8, "--repeats", 1]
    (result,) = json.loads(cli(*words, "--json").stdout)["results"]
    assert len(result["live_fractions"]) == 2
    assert "of the neurons" in cli(*words).stdout
    (dense,) = json.loads(cli(*words, "--json", "--dense").stdout)["results"]
    assert dense["live_fractions"] == []


def start(program: Path, *words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([str(program), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def endless(model: Path) -> list[Any]:
    return ["generate", model, "-p", "a", "-n", 60000, "--temperature", 0, "--threads", 1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_cleanly(program: Path, tiny_long_gguf: Path, number: signal.Signals) -> None:
    process = start(program, *endless(tiny_long_gguf))
    assert process.stdout is not None
    process.stdout.read(1)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, b"phonelm-cli: interrupted\n")
    assert out.endswith(b"\n")
    out.decode("utf-8")


def test_a_reader_that_leaves_is_no_error(program: Path, tiny_long_gguf: Path) -> None:
    process = start(program, *endless(tiny_long_gguf))
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.wait(timeout=20) == 1
    assert process.stderr.read() == b""


def test_a_closed_standard_input_is_said(program: Path, tiny_gguf: Path) -> None:
    line = f"{program} generate {tiny_gguf} -p - <&-"
    run = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "phonelm-cli: standard input: Bad file descriptor\n"


def test_a_full_disk_is_said(program: Path, tiny_gguf: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with open("/dev/full", "wb") as full:
        run = subprocess.run(
            [program, "generate", tiny_gguf, "-p", "a"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert run.returncode == 1
    assert run.stderr.startswith("phonelm-cli: cannot write the output: No space left")


@pytest.mark.slow
def test_the_real_model(cli: Cli, smollm2_gguf: Path) -> None:
    prompt = "<|im_start|>user\nName three colours.<|im_end|>\n<|im_start|>assistant\n"
    with phonelm.load(smollm2_gguf) as model:
        ids = model.tokenizer.encode_prompt(prompt, parse_special=True)
        expected = "".join(model.generate(ids, max_tokens=24))
    words = ["--prompt", prompt, "--parse-special", "--max-tokens", 24, "--temperature", 0]
    assert cli("generate", smollm2_gguf, *words).stdout == expected + "\n"
