"""A Hugging Face folder: configuration, weights, tokenizer, generation defaults."""

# The helpers of transformers carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from phonelm.data.tokenizer import present_tokenizer_files, special_ids
from phonelm.files import atomic_path

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """Keep transformers' bar off the terminal, which has one already."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def set_token_ids(model: PreTrainedModel, data_folder: Path) -> None:
    """Set the tokens that end a text, as the data's tokenizer has them."""
    end_of_text, _, end_of_turn = special_ids(data_folder)
    model.config.bos_token_id = model.config.eos_token_id = end_of_text
    model.generation_config.bos_token_id = end_of_text
    model.generation_config.pad_token_id = end_of_text
    model.generation_config.eos_token_id = [end_of_text, end_of_turn]


def save_checkpoint(model: PreTrainedModel, data_folder: Path, folder: Path) -> None:
    """Write the model and its tokenizer into `folder`, each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".checkpoint-", dir=folder) as name:
        staging = Path(name)
        with without_progress_bar():
            model.save_pretrained(staging)
        for file in present_tokenizer_files(data_folder):
            shutil.copyfile(file, staging / file.name)
        for path in sorted(staging.iterdir()):
            with atomic_path(folder / path.name) as temporary:
                shutil.move(path, temporary)
