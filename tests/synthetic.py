"""A device profile computed from a formula, for tests of pure functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from phonelm.devices import MachineInfo
from phonelm.profile import Bandwidth, Conditions, CostGrid, DeviceProfile, PhaseCosts


def grid(cost: Callable[..., float], **axes: list[int]) -> CostGrid:
    return CostGrid(axes=axes, seconds=[cost(*sizes) for sizes in itertools.product(*axes.values())])


def matmul_seconds(rows: float, cols: float, num_tokens: int = 1) -> float:
    """Bilinear on purpose: interpolation must give it back exactly."""
    return 3e-7 + 1e-10 * rows + 2e-10 * cols + 1e-11 * rows * cols * (1 + 0.1 * num_tokens)


def attention_seconds(head_dim: float, group: float, kv_heads: float, context: float) -> float:
    return 1e-7 + 1e-11 * kv_heads * head_dim * context * (1 + 0.2 * group)


def decode_matmul(rows: str, cols: str) -> CostGrid:
    """Twice the time where the weights of the model are many."""
    return grid(
        lambda mb, r, c: (1 if mb < 64 else 2) * matmul_seconds(r, c),
        footprint_mb=[16, 64],
        **{rows: [64, 512, 4096], cols: [64, 512, 2048]},
    )


def prefill_matmul(num_tokens: int, rows: str, cols: str) -> CostGrid:
    return grid(
        lambda t, r, c: matmul_seconds(r, c, t),
        tokens=[16, num_tokens],
        **{rows: [64, 512, 4096], cols: [64, 512, 2048]},
    )


def ffn_seconds(gated: bool, hidden: float, intermediate: float, num_tokens: int = 1) -> float:
    ups = (2 if gated else 1) * matmul_seconds(intermediate, hidden, num_tokens)
    return ups + matmul_seconds(hidden, intermediate, num_tokens)


def ffn(num_tokens: int, gated: bool) -> CostGrid:
    sizes = {"hidden": [64, 512, 2048], "intermediate": [64, 512, 4096]}
    if num_tokens == 1:
        return grid(
            lambda mb, h, i: (1 if mb < 64 else 2) * ffn_seconds(gated, h, i), footprint_mb=[16, 64], **sizes
        )
    return grid(lambda t, h, i: ffn_seconds(gated, h, i, t), tokens=[16, num_tokens], **sizes)


def neurons(num_tokens: int, gated: bool) -> CostGrid:
    """By live share in decode, by tokens in prefill."""
    sizes = {"hidden": [64, 4096], "intermediate": [64, 8192]}
    if num_tokens > 1:
        return grid(lambda h, i: ffn_seconds(gated, h, i, num_tokens), **sizes)
    return grid(
        lambda mb, live, h, i: (0.5 + live / 100) * ffn_seconds(gated, h, i),
        footprint_mb=[2, 64],
        live_percent=[10, 100],
        **sizes,
    )


def phase(num_tokens: int) -> PhaseCosts:
    def matmul(rows: str, cols: str) -> CostGrid:
        return decode_matmul(rows, cols) if num_tokens == 1 else prefill_matmul(num_tokens, rows, cols)

    return PhaseCosts(
        num_tokens=num_tokens,
        operators={
            "project": matmul("rows", "hidden"),
            "add_attention": matmul("hidden", "width"),
            "ffn_gated": ffn(num_tokens, True),
            "ffn_plain": ffn(num_tokens, False),
            "neurons_gated": neurons(num_tokens, True),
            "neurons_plain": neurons(num_tokens, False),
            "attention": grid(
                lambda *sizes: num_tokens * attention_seconds(*sizes),
                head_dim=[32, 128],
                group=[1, 4],
                kv_heads=[1, 8],
                context=[16, 2048],
            ),
            "embed": grid(lambda h: 1e-6 + 1e-10 * h, hidden=[64, 1024]),
        },
    )


def synthetic_profile() -> DeviceProfile:
    machine = MachineInfo(
        model="Formula", system="none", num_cores=2, isas=["scalar"], caches_bytes={"l3": 2**25}
    )
    return DeviceProfile(
        machine=machine,
        isa="scalar",
        num_threads=2,
        kernels="none",
        quick=True,
        bandwidth=[Bandwidth(num_threads=2, buffer_bytes=2**20, bytes_per_s=5e10)],
        int8_ops_per_s={2: 1e12},
        decode=phase(1),
        prefill=phase(128),
        head=grid(lambda v, h: 2 * matmul_seconds(v, h), vocab=[1024, 65536], hidden=[64, 2048]),
        sampling=grid(lambda v: 1e-10 * v, vocab=[1024, 65536]),
        barrier_s=1e-7,
        conditions=Conditions(
            isa="scalar",
            num_threads=2,
            probe_bytes=2**26,
            bytes_per_s=5e10,
            ops_per_s=1e12,
            usual_share=1.0,
            drift=0.0,
        ),
        num_passes=3,
        spread=0.01,
        made={},
    )
