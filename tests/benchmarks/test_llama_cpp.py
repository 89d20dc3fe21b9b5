from __future__ import annotations

import sys
from pathlib import Path

import pytest
from peers import llama_cpp_build
from peers.llama_cpp_build import vector_settings
from peers.llama_cpp_server import Server

AVX2 = {"sse4_2", "avx", "avx2", "bmi2", "fma", "f16c"}
AVX512 = AVX2 | {"avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"}
ZEN_4 = AVX512 | {"avx512vbmi", "avx512_vnni", "avx512_bf16"}
SAPPHIRE_RAPIDS = ZEN_4 | {"amx_tile", "amx_int8", "amx_bf16"}


def switched_on(flags: set[str], *, with_amx: bool) -> set[str]:
    settings = vector_settings(flags, "x86_64", with_amx)
    assert settings.pop("GGML_NATIVE") == "OFF"
    return {name.removeprefix("GGML_") for name, value in settings.items() if value == "ON"}


def test_it_is_built_for_what_the_processor_has() -> None:
    common = {"SSE42", "AVX", "AVX2", "BMI2", "FMA", "F16C"}
    assert switched_on(AVX2, with_amx=True) == common
    assert switched_on(AVX2 | {"avx512f"}, with_amx=False) == common
    vectors = common | {"AVX512", "AVX512_VBMI", "AVX512_VNNI", "AVX512_BF16"}
    assert switched_on(ZEN_4, with_amx=True) == vectors
    assert switched_on(SAPPHIRE_RAPIDS, with_amx=False) == vectors
    assert switched_on(SAPPHIRE_RAPIDS, with_amx=True) == vectors | {"AMX_TILE", "AMX_INT8", "AMX_BF16"}


def test_other_processors_are_left_to_ggml() -> None:
    assert vector_settings(set(), "aarch64", with_amx=False) == {"GGML_NATIVE": "ON"}


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_cpp_build, "cpu_flags", lambda: ZEN_4)
    assert llama_cpp_build.reason_against(with_amx=True) == "this processor has no AMX (amx_int8)"
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert "no C++ compiler" in (llama_cpp_build.reason_against(with_amx=False) or "")


FAKE_SERVER = """
import http.server, json, sys
loading = [True]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if loading:
            return self.send_error(loading and loading.pop() and 503)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"tokens": request["prompt"][: request["n_predict"]]}).encode())
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print("loading", flush=True)
print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""


def test_the_server_is_asked_until_the_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(FAKE_SERVER)
    with Server([sys.executable, str(tmp_path / "server.py")]) as server:
        assert server.greedy_tokens([5, 6, 7], 2) == [5, 6]


def test_a_server_that_ends_is_told() -> None:
    command = [sys.executable, "-c", "print('no such model')"]
    with Server(command) as server, pytest.raises(RuntimeError, match="no such model"):
        server.greedy_tokens([5], 1)
