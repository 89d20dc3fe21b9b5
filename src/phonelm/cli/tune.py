"""`phonelm tune`: a base model learns from conversations."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonelm.cli.streams import print_json
from phonelm.words import counted

if TYPE_CHECKING:
    from phonelm.progress import Progress


class Kind(str, Enum):
    """What is tuned for."""

    INSTRUCT = "instruct"
    DISTIL = "distil"


def tune(
    kind: Annotated[
        Kind, typer.Argument(help="instruct: answers in conversations; distil: also a --teacher's.")
    ],
    base: Annotated[
        str, typer.Option(help="Hugging Face folder; or a GGUF file or known name, which is imported first.")
    ],
    data: Annotated[
        list[str],
        typer.Option(
            help="File or folder of JSON lines or parquet with messages, or hf:NAME; may be repeated."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Hugging Face folder to make.")],
    teacher: Annotated[
        str | None,
        typer.Option(help="With distil: the larger model, as --base; it has the same vocabulary."),
    ] = None,
    teacher_share: Annotated[
        float, typer.Option(help="With distil: of the teacher's probabilities; the rest is the text.")
    ] = 0.5,
    epochs: Annotated[float, typer.Option(help="How often each conversation is learnt from.")] = 1.0,
    batch: Annotated[int, typer.Option(help="Rows of conversations per step.")] = 4,
    length: Annotated[int, typer.Option(help="Tokens a row; longer conversations lose their end.")] = 1024,
    micro_batch: Annotated[
        int | None, typer.Option(help="Rows in memory at a time; the whole batch if not given.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="The highest; it falls to the end.")] = 2e-5,
    lora: Annotated[
        int | None,
        typer.Option(
            metavar="RANK", help="Train adapters of this rank in place of all weights; merged at the end."
        ),
    ] = None,
    qat: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Of the steps, the last ones, with weights rounded to q4_0."),
    ] = 0.0,
    call_weight: Annotated[
        float, typer.Option(help="Of the tokens of calls in the loss; those of other answers have 1.")
    ] = 1.0,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="Question that is answered after each validation; may be repeated."),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; torch's choice if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Of the split, the order and the samples.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
) -> None:
    """Tune a base model; run the command again to resume after an interruption.

    Only what the assistant says is learnt. Conversations are packed whole, and see themselves alone.

    \b
    Example:
      phonelm tune instruct --base smollm2-135m-instruct --data chats.jsonl --out tuned/
      phonelm quantize tuned/ --type q4_0 -o tuned.gguf
      phonelm tune distil --base small/ --teacher smollm2-135m-instruct --data chats.jsonl --out distilled/
    """
    from phonelm.data.config import ConversationsConfig
    from phonelm.data.sources import require_sources
    from phonelm.preconditions import TRAINING, require_packages, require_writable
    from phonelm.progress import TerminalProgress
    from phonelm.train.tune import PROMPTS, TuneConfig, tune_instruct

    if (kind is Kind.DISTIL) != (teacher is not None):
        raise typer.BadParameter("distil needs a --teacher, and instruct takes none")
    require_packages(*TRAINING, "peft")
    require_sources(data)
    require_writable(out)
    chats = ConversationsConfig(sources=tuple(data), call_weight=call_weight, seed=seed)
    config = TuneConfig(
        epochs=epochs,
        batch_size=batch,
        sequence_length=length,
        micro_batch_size=micro_batch,
        learning_rate=learning_rate,
        num_threads=threads,
        seed=seed,
        lora_rank=lora,
        qat_fraction=qat,
        teacher_share=teacher_share,
        prompts=tuple(prompt or PROMPTS),
    )
    progress = TerminalProgress()
    folder = _base_folder(base, out, progress)
    larger = _base_folder(teacher, out, progress) if teacher else None
    result = tune_instruct(config, chats, folder, out, progress, larger)
    if json_:
        print_json(result.model_dump_json())
    else:
        print(f"{out}: {result.bits_per_byte:.3f} bits per byte, {counted(result.tokens, 'token')}")


def _base_folder(base: str, out: Path, progress: Progress) -> Path:
    """The folder of the base model; a GGUF file becomes one in the folder of what is made of it."""
    from phonelm.engine import resolve
    from phonelm.files import file_hash
    from phonelm.formats import import_gguf

    if Path(base).is_dir():
        return Path(base)
    file = resolve(base)
    folder = out / f"base-{file_hash(file)[:8]}"
    if not folder.is_dir():
        import_gguf(file, folder, "float32", progress)
    return folder
