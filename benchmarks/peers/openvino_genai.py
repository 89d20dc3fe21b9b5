"""OpenVINO GenAI, which reads GGUF files of llama's and qwen's architectures itself.

Its default settings (bfloat16, activations quantized dynamically) were its fastest where they were tried:
float32, another attention backend, float16 keys and values, and no dynamic quantization were all slower.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peers.environment import install
from peers.peer import Peer, answer, peak_bytes

VERSION = "2026.4.1.0"


def set_up(place: Path) -> None:
    install(place, f"openvino-genai=={VERSION}")


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Prefill is the time to the first token, decode that of the steps after it."""
    import openvino_genai

    pipeline = openvino_genai.LLMPipeline(job["path"], "CPU", INFERENCE_NUM_THREADS=job["threads"])
    _generate(pipeline, job["warm_up"], 8)
    _generate(pipeline, job["warm_up"][:16], 8)
    prefill, after_prompt, _ = _generate(pipeline, job["prompt"], job["generate"])
    peak = peak_bytes()
    _, decode, _ = _generate(pipeline, job["short_prompt"], job["generate"])
    tokens = _generate(pipeline, job["text_prompt"], job["text_tokens"])[2] if job["text_prompt"] else []
    speeds = {"prefill": prefill, "decode": decode, "decode_after_prompt": after_prompt}
    return {"speeds": speeds, "peak_bytes": peak, "tokens": tokens}


def _generate(pipeline: Any, prompt: list[int], generate: int) -> tuple[float, float, list[int]]:
    """Tokens a second of prompt and answer, and the answer."""
    import numpy as np
    import openvino
    import openvino_genai

    ids = np.array([prompt], dtype=np.int64)
    inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids)))
    # One token comes from the prompt itself: one more gives `generate` steps, as elsewhere.
    done = pipeline.generate(inputs, max_new_tokens=generate + 1, ignore_eos=True, do_sample=False)
    tokens = [int(token) for token in done.tokens[0]]
    counted = done.perf_metrics.get_num_input_tokens(), len(tokens)
    if counted != (len(prompt), generate + 1):
        raise RuntimeError(f"it counted {counted} tokens, not {(len(prompt), generate + 1)}")
    metrics = done.perf_metrics
    return len(prompt) * 1e3 / metrics.get_ttft().mean, 1e3 / metrics.get_tpot().mean, tokens[:generate]


OPENVINO = Peer("openvino-genai", VERSION, "peers.openvino_genai", "half a minute, 0.5 GB", set_up)

if __name__ == "__main__":
    answer(work)
