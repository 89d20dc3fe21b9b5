"""Constants that the C header, the core and Python each write down: they must agree."""

from __future__ import annotations

import re
from pathlib import Path

import c_library
import numpy as np

from phonelm import _native
from phonelm.arch.arithmetic import BLOCKS

NATIVE = Path(__file__).parents[2] / "native"


def header_constants() -> dict[str, int]:
    text = (NATIVE / "include" / "phonelm.h").read_text()
    return {name: int(value) for name, value in re.findall(r"\bPHONELM_(\w+) = (-?\d+)", text)}


def test_the_python_mirror_names_every_constant_of_the_header() -> None:
    constants = header_constants()
    assert len(constants) >= 16
    mirrored = {name: getattr(c_library, name.removeprefix("FINISH_")) for name in constants}
    assert mirrored == constants


def test_no_token_is_the_header_s() -> None:
    nothing_allowed = np.zeros(1, np.uint32)
    token = _native.Sampler().choose(np.zeros(5, np.float32), nothing_allowed)
    assert token == header_constants()["NO_TOKEN"]


def test_blocks_of_tensor_types_are_those_of_arithmetic() -> None:
    assert {name.upper(): block for name, block in BLOCKS.items()} == _native.TENSOR_BLOCKS
