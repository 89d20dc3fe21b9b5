from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phonelm.arch import DecoderConfig
from phonelm.bench import BenchResult
from phonelm.formats import write_random_gguf

Phonelm = Callable[..., subprocess.CompletedProcess[str]]
SHORT = ("--prompt", 16, "--generate", 8, "--repeats", 2)


@pytest.fixture
def unloadable_gguf(tiny_gguf: Path, tmp_path: Path) -> Path:
    """A file whose header is that of a model, with a tensor under a wrong name."""
    path = tmp_path / "unloadable.gguf"
    path.write_bytes(tiny_gguf.read_bytes().replace(b"blk.1.attn_q.weight", b"blk.1.attn_x.weight"))
    return path


@pytest.fixture
def relu_gguf(tmp_path: Path) -> Path:
    config = DecoderConfig(
        vocab_size=288, hidden_size=64, num_layers=2, num_heads=1, num_kv_heads=1, head_dim=64,
        intermediate_size=128, activation="relu",
    )  # fmt: skip
    write_random_gguf(tmp_path / "relu.gguf", config)
    return tmp_path / "relu.gguf"


def test_json_has_a_result_a_model_under_stable_names(phonelm: Phonelm, tiny_gguf: Path) -> None:
    done = phonelm("bench", tiny_gguf, tiny_gguf.parent, *SHORT, "--threads", 1, "--isa", "scalar", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(document) == {"made", "machine", "results", "failed"}
    assert document["failed"] == []
    assert document["made"]["config"]["kv"] == "f16"
    first, second = (BenchResult.model_validate(result) for result in document["results"])
    assert (first.model, second.model) == (str(tiny_gguf), str(tiny_gguf.parent))
    assert first.path == second.path == str(tiny_gguf)
    assert (first.isa, first.decode_threads) == ("scalar", 1)
    assert first.output_sha256 == second.output_sha256


def test_several_models_give_one_table(phonelm: Phonelm, tiny_gguf: Path) -> None:
    done = phonelm("bench", tiny_gguf, tiny_gguf.parent, *SHORT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("prefill of 16") == 1
    assert done.stdout.count("% bandwidth") == 2
    assert done.stderr.count("measuring ") == 2


@pytest.mark.slow
def test_dead_neurons_are_shown_by_layer_unless_they_are_computed(phonelm: Phonelm, relu_gguf: Path) -> None:
    done = phonelm("bench", relu_gguf, *SHORT, "--layers")
    assert done.returncode == 0, done.stderr
    table = done.stdout.partition("dead neurons")[2]
    assert [line.split()[0] for line in table.splitlines()[-2:]] == ["0", "1"]
    dense = phonelm("bench", relu_gguf, *SHORT, "--layers", "--dense")
    assert "no neurons were skipped" in dense.stdout
    document = json.loads(phonelm("bench", relu_gguf, *SHORT, "--json").stdout)
    assert len(document["results"][0]["live_fractions"]) == 2


@pytest.mark.slow
def test_keys_and_values_in_int8_are_half_as_large(phonelm: Phonelm, tiny_gguf: Path) -> None:
    results = {}
    for kv in ("f16", "q8_0"):
        done = phonelm("bench", tiny_gguf, *SHORT, "--kv", kv, "--json")
        assert done.returncode == 0, done.stderr
        (results[kv],) = json.loads(done.stdout)["results"]
        assert results[kv]["kv_type"] == kv
    # Heads of 16 are half a group each, with a scale of their own.
    assert results["q8_0"]["kv_bytes"] * 32 == results["f16"]["kv_bytes"] * 18
    assert results["q8_0"]["decode_bytes_per_token"] < results["f16"]["decode_bytes_per_token"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--threads", 0], "'--threads'"),
        (["--threads", -1], "'--threads'"),
        (["--threads", 1000], "'--threads'"),
        (["--isa", "neon9"], "instruction set 'neon9' is not one of: scalar"),
        (["--kv", "q4_0"], "KV cache type 'q4_0' is not one of: f16, q8_0"),
        (["--generate", 0], "'--generate'"),
    ],
)
def test_wrong_usage_is_refused(phonelm: Phonelm, tiny_gguf: Path, extra: list[Any], message: str) -> None:
    done = phonelm("bench", tiny_gguf, *extra)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_instruction_set_forced_by_the_environment_is_checked_too(
    phonelm: Phonelm, environment: dict[str, str], tiny_gguf: Path
) -> None:
    environment["PHONELM_ISA"] = "neon9"
    done = phonelm("bench", tiny_gguf)
    assert done.returncode == 2
    assert "'PHONELM_ISA': instruction set 'neon9' is not one of" in done.stderr


def test_nothing_is_measured_when_one_model_cannot_run(
    phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no model")
    cases = {
        tmp_path / "nothing.gguf": "no model at",
        broken: "broken.gguf: not a GGUF file",
        tiny_gguf: "90 + 90 tokens exceed the context",
    }
    for path, message in cases.items():
        done = phonelm("bench", tiny_gguf, path, "--prompt", 90, "--generate", 90 if path == tiny_gguf else 1)
        assert (done.returncode, done.stdout) == (1, "")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_failure_later_leaves_the_other_results(
    phonelm: Phonelm, tiny_gguf: Path, unloadable_gguf: Path
) -> None:
    arguments = ("bench", unloadable_gguf, tiny_gguf, *SHORT)
    done = phonelm(*arguments)
    assert done.returncode == 1
    assert f"phonelm: {unloadable_gguf}: " in done.stderr
    assert "attn_q.weight is missing" in done.stderr
    assert done.stderr.count("\n") == 3
    assert done.stdout.count("% bandwidth") == 1
    document = json.loads(phonelm(*arguments, "--json").stdout)
    assert [result["model"] for result in document["results"]] == [str(tiny_gguf)]
    assert document["failed"][0]["model"] == str(unloadable_gguf)
    assert "attn_q.weight is missing" in document["failed"][0]["error"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle_it_leaves_no_process(
    command: list[str], environment: dict[str, str], tiny_gguf: Path, stop: signal.Signals
) -> None:
    arguments = ["bench", str(tiny_gguf), "--prompt", "80", "--generate", "16", "--repeats", "1000000"]
    process = subprocess.Popen([*command, *arguments], env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "measuring" in process.stderr.readline()
    children = _wait_for(lambda: _children(process.pid))
    process.send_signal(stop)
    assert process.wait(timeout=20) == (-9 if stop == signal.SIGKILL else 1)
    assert process.stderr.read().count("\n") == (1 if stop == signal.SIGINT else 0)
    process.stderr.close()
    _wait_for(lambda: not any(_runs(child) for child in children))


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value
