"""From conversations to a folder of tokens with weights, for tuning a model with its own tokenizer."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phonelm.data.config import ConversationsConfig
from phonelm.data.conversations import Conversation, conversations
from phonelm.data.folder import make_data_folder
from phonelm.data.manifest import DataManifest, Split
from phonelm.data.shards import ConversationWriter
from phonelm.data.sources import source_bytes, source_identity
from phonelm.data.split import is_held_out
from phonelm.data.tokenizer import present_tokenizer_files
from phonelm.files import file_hash, fingerprint
from phonelm.progress import Progress
from phonelm.train.rendering import ConversationRenderer

_AT_ONCE = 256
"""Conversations tokenized together."""


def prepare_conversations(
    config: ConversationsConfig, base: Path, folder: Path, progress: Progress | None = None
) -> DataManifest:
    """Make the data folder for tuning the model of the Hugging Face folder `base`.

    One that is up to date is left alone.

    Everything the assistant says is learnt, the rest is context. Conversations that came before, and those
    whose text holds a control token of the model's, are left out and counted. Raises `ValueError` for sources
    that are missing or damaged, for roles out of order, and for a base model without a chat template.
    """
    progress = progress or Progress()
    tokenizer_files = present_tokenizer_files(base)

    def write(staging: Path) -> dict[str, Any]:
        renderer = ConversationRenderer(base, config.call_weight)
        for path in tokenizer_files:
            shutil.copyfile(path, staging / path.name)
        parts = _write(config, renderer, staging, progress)
        return {"vocab_size": renderer.vocab_size, "conversations": True, **parts}

    sources = [source_identity(source) for source in config.sources]
    inputs = [sources, [file_hash(path) for path in tokenizer_files]]
    return make_data_folder(folder, config, inputs, write, progress)


@dataclass
class _Chats:
    """The conversations once each, without those that cannot be learnt from."""

    config: ConversationsConfig
    renderer: ConversationRenderer
    num_duplicates: int = 0
    num_with_control_text: int = 0
    seen: set[bytes] = field(default_factory=set)

    def __iter__(self) -> Iterator[tuple[Conversation, bytes]]:
        for conversation in itertools.chain.from_iterable(map(conversations, self.config.sources)):
            document = json.dumps([conversation.messages, conversation.tools], sort_keys=True)
            digest = hashlib.blake2b(document.encode(), digest_size=16).digest()
            if digest in self.seen:
                self.num_duplicates += 1
            elif self.renderer.has_control_text(conversation):
                self.num_with_control_text += 1
            else:
                self.seen.add(digest)
                yield conversation, digest


def _write(
    config: ConversationsConfig, renderer: ConversationRenderer, folder: Path, progress: Progress
) -> dict[str, Any]:
    """Write both parts and return their fields of the manifest."""
    chats = _Chats(config, renderer)
    counts = {"train": 0, "valid": 0}
    num_bytes = {"train": 0, "valid": 0}
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(ConversationWriter(folder, name, renderer.vocab_size))
            for name in counts
        }
        advance = stack.enter_context(progress.bar("tokenize", max(1, source_bytes(config.sources))))
        numbered = enumerate(chats)
        while some := list(itertools.islice(numbered, _AT_ONCE)):
            rendered = [renderer.parts(conversation) for _, (conversation, _) in some]
            for (number, (_, digest)), parts, encoded in zip(
                some, rendered, renderer.encode(rendered), strict=True
            ):
                # The first two are one of each, so that there is some of both.
                held_out = is_held_out(digest, config.valid_fraction, config.seed) if number > 1 else number
                name = "valid" if held_out else "train"
                writers[name].append(*encoded)
                counts[name] += 1
                num_bytes[name] += sum(len(part.text.encode()) for part in parts if part.weight)
                advance(sum(len(part.text) for part in parts))
    if not counts["valid"]:
        raise ValueError(
            f"{', '.join(config.sources)} holds {counts['train']} conversations; at least two are "
            "needed, one to learn from and one to check with"
        )
    if chats.num_with_control_text:
        progress.line(
            f"{chats.num_with_control_text:,} conversations with control tokens in their text left out"
        )
    parts_of = {
        name: Split(
            shards=writer.shards,
            documents=counts[name],
            tokens=writer.tokens,
            bytes=num_bytes[name],
            learnt_tokens=writer.num_learnt,
        )
        for name, writer in writers.items()
    }
    content = fingerprint([*(writer.digest.hexdigest() for writer in writers.values()), config.seed])
    return {**parts_of, "content": content, "duplicates": chats.num_duplicates}
