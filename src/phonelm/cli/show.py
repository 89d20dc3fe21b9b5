"""`phonelm show`: what a GGUF file holds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from phonelm.cli.streams import print_json

_SHOWN = 6
"""Elements of a long array that are shown."""
_MOST_CHARACTERS = 200


def show(
    file: Annotated[str, typer.Argument(metavar="FILE|NAME", help="GGUF file, run folder or name.")],
    tensors: Annotated[bool, typer.Option("--tensors", help="List the tensors.")] = False,
    template: Annotated[bool, typer.Option("--template", help="Print the chat template alone.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Long arrays and texts whole.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tell what a GGUF file holds and what this runtime makes of it.

    No weights are read. Files that the runtime refuses are shown too, with the reason.

    \b
    Example:
      phonelm show smollm2-135m-instruct
      phonelm show model.gguf --tensors
      phonelm show model.gguf --template
    """
    from phonelm.engine.inspection import inspect

    document = inspect(_path_of(file))
    if template:
        _print_template(document, json_)
    elif json_:
        print_json(json.dumps(_as_json(document, all_, tensors), ensure_ascii=False))
    else:
        lines = [*_summary(document), "", *_metadata(document["metadata"], all_)]
        print("\n".join(lines + (["", *_tensors(document["tensors"])] if tensors else [])))


def _path_of(name: str) -> Path:
    from phonelm.engine import resolve

    path = Path(name).expanduser()
    if path.is_dir() and not (path / "model.gguf").is_file():
        raise ValueError(f"{name} is a folder; give a .gguf file, or make one: phonelm quantize {name}")
    return resolve(name)


def _print_template(document: dict[str, Any], json_: bool) -> None:
    templates = {
        key: value
        for key, value in document["metadata"].items()
        if key.startswith("tokenizer.chat_template") and isinstance(value, str)
    }
    if not templates:
        raise ValueError(f"{document['path']} has no chat template; chats are written as ChatML")
    if json_:
        print_json(json.dumps({"path": document["path"], "templates": templates}, ensure_ascii=False))
        return
    for key, text in templates.items():
        if len(templates) > 1:
            print(f"{{# {_printable(key)} #}}")
        # Line ends and tabs are the template's own; nothing else may reach the terminal.
        print("\n".join("\t".join(map(_printable, line.split("\t"))) for line in text.split("\n")))


def _summary(document: dict[str, Any]) -> list[str]:
    from phonelm.words import counted, sized

    bits = document["bits_per_weight"]
    types = ", ".join(f"{count} {kind}" for kind, count in document["types"].items())
    rows = [
        ("file", f"{document['path']} ({sized(document['file_bytes'])})"),
        ("parts", counted(len(document["files"]), "file") if len(document["files"]) > 1 else None),
        ("kind", document["kind"]),
        ("name", document["name"]),
        ("licence", document["licence"]),
        ("architecture", document["architecture"]),
        ("parameters", f"{document['num_parameters']:,} in {counted(document['num_tensors'], 'tensor')}"),
        ("weights", f"{sized(document['weight_bytes'])}, {bits} bits per weight ({types})" if bits else None),
        *_runtime_rows(document["runtime"]),
        *_adapter_rows(document["adapter"]),
        *_tokenizer_rows(document["tokenizer"]),
    ]
    return [f"{head:<14}{_printable(str(text))}" for head, text in rows if text is not None]


def _runtime_rows(runtime: dict[str, Any]) -> list[tuple[str, Any]]:
    from phonelm.words import sized

    names = ("layers", "hidden_size", "heads", "kv_heads", "head_dim", "vocab_size")
    there = [name for name in names if name in runtime]
    shape = ", ".join(f"{name.replace('_', ' ')} {_short(runtime[name])}" for name in there)
    context = runtime.get("context_length")
    rows: list[tuple[str, Any]] = [("shape", shape or None), ("context", f"{context:,}" if context else None)]
    if not runtime["loads"]:
        return [*rows, ("this runtime", f"refuses it: {runtime['reason']}")]
    keys = runtime["kv_bytes_per_token"]
    each = ", ".join(f"{sized(num_bytes)} at {kind}" for kind, num_bytes in keys.items())
    whole = sized(keys["f16"] * runtime["context_length"])
    return [
        *rows,
        ("KV cache", f"{each} for each token; {whole} at f16 for the whole context"),
        ("this runtime", f"loads it, with {sized(runtime['memory_bytes'])} of weights in memory"),
    ]


def _adapter_rows(adapter: dict[str, Any] | None) -> list[tuple[str, Any]]:
    if adapter is None:
        return []
    ranks = ", ".join(map(str, adapter["ranks"])) or "none"
    text = f"{adapter['type']}, rank {ranks}, alpha {adapter['alpha']}"
    return [("adapter", f"{text}, over {adapter['num_matrices']} matrices")]


def _tokenizer_rows(tokenizer: dict[str, Any] | None) -> list[tuple[str, Any]]:
    if tokenizer is None:
        return [("tokenizer", "none")]
    text = f"{tokenizer['model']}, pre-tokenizer {tokenizer['pre'] or 'not named'}"
    text += f", {tokenizer['num_tokens']:,} tokens"
    if tokenizer["loads"]:
        stops = ", ".join(map(str, tokenizer["stop_ids"]))
        text += f"; begins {tokenizer['bos_id']}, ends {tokenizer['eos_id']}, stops at {stops or 'nothing'}"
    else:
        text += f"; refused: {tokenizer['reason']}"
    template = "yes (--template)" if tokenizer["has_template"] else "none"
    return [("tokenizer", text), ("chat template", template)]


def _metadata(metadata: dict[str, Any], whole: bool) -> list[str]:
    width = min(max(map(len, metadata), default=0), 48)
    return [f"{_printable(key):<{width}}  {_value(value, whole)}" for key, value in metadata.items()]


def _value(value: Any, whole: bool) -> str:
    if isinstance(value, list) and len(value) > _SHOWN and not whole:
        shown = ", ".join(_value(item, whole) for item in value[:_SHOWN])
        return f"[{shown}, ...] ({len(value):,} elements)"
    if isinstance(value, list):
        return f"[{', '.join(_value(item, whole) for item in value)}]"
    if isinstance(value, str):
        from phonelm.words import printable

        return printable(value, None if whole else _MOST_CHARACTERS)
    return str(value)


def _tensors(tensors: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            _printable(tensor["name"]),
            "x".join(map(str, tensor["shape"])),
            tensor["type"],
            "?" if tensor["num_bytes"] is None else f"{tensor['num_bytes']:,}",
        )
        for tensor in tensors
    ]
    heads = ("tensor", "shape", "type", "bytes")
    widths = [max(len(row[at]) for row in [heads, *rows]) for at in range(4)]
    return [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]:>{widths[3]}}"
        for row in [heads, *rows]
    ]


def _as_json(document: dict[str, Any], whole: bool, tensors: bool) -> dict[str, Any]:
    metadata = {key: _json_value(value, whole) for key, value in document["metadata"].items()}
    kept = {**document, "metadata": metadata}
    return kept if tensors else {key: value for key, value in kept.items() if key != "tensors"}


def _json_value(value: Any, whole: bool) -> Any:
    """JSON has no infinities; a long array is its length and its beginning."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if not isinstance(value, list):
        return value
    if len(value) > _SHOWN and not whole:
        return {"length": len(value), "first": [_json_value(item, whole) for item in value[:_SHOWN]]}
    return [_json_value(item, whole) for item in value]


def _short(value: Any) -> str:
    """A number, or the least and the most of one for each layer."""
    return f"{min(value)} to {max(value)}" if isinstance(value, list) and value else str(value)


def _printable(text: str) -> str:
    from phonelm.words import printable

    return printable(text)
