"""From conversations to a folder of tokens with weights, for tuning a model with its own tokenizer."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phonelm.data.config import ConversationsConfig
from phonelm.data.conversations import Conversation, conversations
from phonelm.data.manifest import MANIFEST_FILE, DataManifest, Split
from phonelm.data.shards import ConversationWriter
from phonelm.data.sources import source_files, source_identity
from phonelm.data.split import is_held_out
from phonelm.data.tokenizer import present_tokenizer_files
from phonelm.files import atomic_path, file_hash, fingerprint, provenance, remove_leftovers, write_json
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
    identity = fingerprint(
        [
            config.model_dump(mode="json"),
            [source_identity(source) for source in config.sources],
            [file_hash(path) for path in tokenizer_files],
        ]
    )
    if (folder / MANIFEST_FILE).exists():
        if (present := DataManifest.load(folder)).fingerprint == identity:
            progress.line(f"{folder} is prepared already")
            return present
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty and holds no prepared data; name another folder")
    began = time.monotonic()
    remove_leftovers(folder)
    renderer = ConversationRenderer(base, config.call_weight)
    with atomic_path(folder) as staging:
        staging.mkdir()
        for path in tokenizer_files:
            shutil.copyfile(path, staging / path.name)
        parts = _write(config, renderer, staging, progress)
        made = provenance(
            config=config.model_dump(mode="json"), seed=config.seed, wall_s=time.monotonic() - began
        )
        manifest = DataManifest(
            fingerprint=identity,
            seed=config.seed,
            vocab_size=renderer.vocab_size,
            conversations=True,
            made=made,
            **parts,
        )
        write_json(staging / MANIFEST_FILE, manifest.model_dump(mode="json"))
    progress.line(manifest.summary)
    return manifest


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


def _num_bytes(config: ConversationsConfig) -> int:
    return sum(path.stat().st_size for source in config.sources for path in source_files(source))


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
        advance = stack.enter_context(progress.bar("tokenize", max(1, _num_bytes(config))))
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
