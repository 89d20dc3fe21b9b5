"""Imports go one way: between rooms never upward, within a room never in a circle; in Python and in C++."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src"
LEVELS = (
    ("version", "progress", "validation", "ranges", "words"),
    ("files", "run_recipe"),
    ("preconditions",),
    ("arch",),
    ("devices",),
    ("profile", "data", "formats"),
    ("engine",),
    ("bench", "train", "hf"),
    ("search", "evaluate"),
    ("report",),
    ("pipeline",),
    ("cli", "__main__"),
)
"""Rooms and modules outside of rooms, lowest first. A level imports itself and those below."""
NATIVE_LEVELS = (
    ("system",),
    ("core",),
    ("gguf", "threads"),
    ("kernels", "tokenizer"),
    ("graph",),
    ("sampling",),
    ("bench",),
    ("capi", "bindings"),
    ("tools",),
)
TORCH = ("train", "hf", "evaluate")
"""What may import torch and transformers; the search's proxy trains in processes of `train`."""
ARCH_NEEDS = {"pydantic", "pydantic_core"}


def modules() -> dict[str, Path]:
    found = {}
    for path in (SOURCES / "phonelm").rglob("*.py"):
        parts = path.relative_to(SOURCES).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, wherever: at its top, in functions, for types only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports name their package"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def level_of(room: str, levels: tuple[tuple[str, ...], ...]) -> int:
    found = [index for index, rooms in enumerate(levels) if room in rooms]
    assert found, f"{room} has no place among the rooms: give it one in {Path(__file__).name}"
    return found[0]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_imports_a_room_above_its_own(module: str) -> None:
    if module in ("phonelm", "phonelm.__main__"):
        return  # the package's face hands out what lies above, when it is asked for
    own = level_of(room_of(module), LEVELS)
    for imported in imports(MODULES[module]):
        if imported.startswith("phonelm.") and imported in MODULES:
            assert level_of(room_of(imported), LEVELS) <= own, f"{module} imports {imported}"


def test_no_circle_of_modules() -> None:
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    graph = {
        name: {other for other in imports(path) if other in MODULES and other not in packages}
        for name, path in MODULES.items()
        if name not in packages
    }
    refuse_circle(graph)


def test_no_circle_of_rooms_of_one_level() -> None:
    graph: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        if room := room_of(name):
            used = {room_of(other) for other in imports(path) if other in MODULES}
            graph.setdefault(room, set()).update(used - {room, ""})
    refuse_circle(graph)


def refuse_circle(graph: Mapping[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_training_and_evaluation_import_torch(module: str) -> None:
    heavy = {"torch", "transformers", "peft", "accelerate"}
    used = heavy & {name.split(".")[0] for name in imports(MODULES[module])}
    assert not used or room_of(module) in TORCH, f"{module} imports {', '.join(used)}"


def test_arch_needs_only_pydantic() -> None:
    import sys

    for module, path in MODULES.items():
        if room_of(module) == "arch":
            outside = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
            assert outside <= ARCH_NEEDS | {"phonelm"}, module


def native_files() -> list[Path]:
    return [path for pattern in ("*.h", "*.cpp") for path in (ROOT / "native").rglob(pattern)]


@pytest.mark.parametrize("levels", [NATIVE_LEVELS])
def test_no_native_file_includes_a_room_above_its_own(levels: tuple[tuple[str, ...], ...]) -> None:
    for path in native_files():
        room = path.relative_to(ROOT / "native").parts[0]
        if room in ("fuzz", "include"):
            continue  # fuzzers reach everywhere, the C interface's header is included by name
        for included in re.findall(r'#include "([a-z_0-9]+)/', path.read_text(encoding="utf-8")):
            assert level_of(included, levels) <= level_of(room, levels), f"{path} includes {included}/"


def test_no_circle_of_native_headers() -> None:
    graph: dict[str, set[str]] = {}
    for path in native_files():
        name = str(path.relative_to(ROOT / "native"))
        if name.endswith(".h") and not name.startswith("fuzz"):
            text = path.read_text(encoding="utf-8")
            graph[name] = set(re.findall(r'#include "([a-z_0-9/]+\.h)"', text))
    refuse_circle(graph)
