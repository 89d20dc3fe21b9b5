"""Reads a space from YAML; what is wrong is said in one line with file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from phonelm.search.space_config import SpaceConfig
from phonelm.validation import explain


def load_space(path: Path | str) -> SpaceConfig:
    """The space a file describes; keys it leaves out are those of the shipped `spaces/default.yaml`.

    Raises `ValueError` with one line for what is not YAML or contradicts itself, `FileNotFoundError` for no
    file.
    """
    import yaml

    text = _text(Path(path))
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ValueError(f"{path}{line}: not YAML ({error.problem}); correct it and run again") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not YAML ({str(error).splitlines()[0]}); correct it") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds no space; write keys such as `layers: {{min: 8, max: 32}}`")
    if twice := _key_said_twice(node):
        raise ValueError(f"{path}:{twice[1]}: the key `{twice[0]}` is there twice; keep one of them")
    try:
        return SpaceConfig.model_validate(document)
    except ValidationError as error:
        raise ValueError(_explain(path, node, error)) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not YAML (it is not UTF-8 text); correct it") from error


def _key_said_twice(node: Any) -> tuple[str, int] | None:
    """YAML's reader takes the last of them in silence."""
    seen: set[str] = set()
    for key, _value in node.value:
        if key.value in seen:
            return key.value, key.start_mark.line + 1
        seen.add(key.value)
    return None


def _explain(path: Path | str, node: Any, error: ValidationError) -> str:
    problems = error.errors()
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    line = _line_of(node, first["loc"])
    return explain(f"{path}:{line}" if line else str(path), SpaceConfig, error)


def _line_of(node: Any, place: tuple[int | str, ...]) -> int | None:
    """The line of the deepest part of `place` that stands in the document."""
    line = None
    for part in place:
        if isinstance(part, int) and isinstance(node.value, list) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
            continue
        pairs = node.value if isinstance(node.value, list) else []
        found = next((pair for pair in pairs if isinstance(pair, tuple) and pair[0].value == part), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
