"""The runtime, torch and an endpoint give the same scores of one checkpoint."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from byte_llama import write_byte_llama
from phonelm.engine import Model, load
from phonelm.evaluate.endpoint_scorer import EndpointScorer
from phonelm.evaluate.scorers import RuntimeScorer, Score

REQUESTS = [
    ("Question: what?\nAnswer:", " this one"),
    ("Question: what?\nAnswer:", " no"),
    ("ends with a space ", "word"),
    ("", "from nothing"),
    ("x" * 150, " cut"),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_byte_llama(tmp_path_factory.mktemp("llama") / "llama", context_length=128)


@pytest.fixture(scope="module")
def model(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    from phonelm.formats import convert_checkpoint

    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    convert_checkpoint(checkpoint, path, "f32")
    with load(path) as opened:
        yield opened


def _assert_close(scores: list[Score], expected: list[Score]) -> None:
    for one, other in zip(scores, expected, strict=True):
        assert one.log_probability == pytest.approx(other.log_probability, abs=2e-2)
        assert (one.greedy, one.num_cut) == (other.greedy, other.num_cut)


def test_torch_and_the_runtime_agree(checkpoint: Path, model: Model) -> None:
    pytest.importorskip("torch")
    from phonelm.evaluate.torch_scorer import TorchScorer

    ours, torchs = RuntimeScorer(model), TorchScorer(checkpoint)
    _assert_close(torchs.score(REQUESTS), ours.score(REQUESTS))
    assert torchs.num_tokens == ours.num_tokens
    texts = ["Once upon", "b" * 200]
    assert torchs.write(texts, ["\n"], 8) == ours.write(texts, ["\n"], 8)


class _Completions(BaseHTTPRequestHandler):
    """`/completions` with echo and log-probabilities, each byte a token, computed by a model."""

    model: Model
    answer_status = 200

    def do_POST(self) -> None:
        assert self.headers["Authorization"] == "Bearer key"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert (self.path, body["model"]) == ("/v1/completions", "tiny")
        choices = [self._choice(index, text, body) for index, text in enumerate(body["prompt"])]
        self.send_response(self.answer_status)
        self.end_headers()
        self.wfile.write(json.dumps({"choices": choices[::-1]}).encode())

    def _choice(self, index: int, text: str, body: dict[str, Any]) -> dict[str, Any]:
        if not body.get("echo"):
            made = self.model.generate(
                text, max_tokens=body["max_tokens"], temperature=0, stop=tuple(body["stop"])
            )
            return {"index": index, "text": made.text}
        ids = self.model.tokenizer.encode(text)
        rows: list[Any] = [None]
        for end in range(2, len(ids) + 1):
            rows.append(self.model.score_tokens([(ids[:end], 1)])[0])
        table = {
            "tokens": list(text),
            "text_offset": list(range(len(text))),
            "token_logprobs": [row and row[0] for row in rows],
            "top_logprobs": [
                row and {text[i]: row[0], "": row[0] - 1 + 2 * (not row[1])} for i, row in enumerate(rows)
            ],
        }
        return {"index": index, "text": text, "logprobs": None if self.answer_status == 299 else table}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    monkeypatch.setattr(_Completions, "model", model, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Completions)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1#tiny"
    server.shutdown()


def test_an_endpoint_and_the_runtime_agree(address: str, model: Model) -> None:
    requests = [request for request in REQUESTS if request[0] and len(request[0]) < 100]
    _assert_close(EndpointScorer(address).score(requests), RuntimeScorer(model).score(requests))
    texts = ["Once upon", "b"]
    assert EndpointScorer(address).write(texts, ["\n"], 8) == RuntimeScorer(model).write(texts, ["\n"], 8)


@pytest.mark.parametrize(("status", "message"), [(299, "gives no log-probabilities"), (500, "answers 500")])
def test_what_an_endpoint_cannot_is_one_line(
    address: str, status: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Completions, "answer_status", status)
    with pytest.raises(ValueError, match=message):
        EndpointScorer(address).score(REQUESTS[:2])


def test_an_endpoint_that_is_not_there() -> None:
    with pytest.raises(ConnectionError, match="gives no answer"):
        EndpointScorer("http://127.0.0.1:9/v1#tiny").score(REQUESTS[:1])
    with pytest.raises(ValueError, match="names no model; give URL#MODEL"):
        EndpointScorer("http://127.0.0.1:9/v1")
