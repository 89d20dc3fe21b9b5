"""Fetching a model of the hub: what is meant, whether it fits, its files one after the other."""

from __future__ import annotations

from pathlib import Path

from phonelm.engine.hub.client import file_url
from phonelm.engine.hub.errors import FetchError
from phonelm.engine.hub.kept import (
    KeptModel,
    Record,
    find_kept,
    place_of,
    read_record,
    repository_folder,
    write_record,
)
from phonelm.engine.hub.leftovers import beginnings_of, remove_abandoned
from phonelm.engine.hub.listing import Listing, RemoteFile, RemoteModel, choose, read_listing, weight_type
from phonelm.engine.hub.locks import file_lock
from phonelm.engine.hub.reference import Reference
from phonelm.engine.hub.space import require_space
from phonelm.engine.hub.transfer import Download, download
from phonelm.progress import Progress
from phonelm.words import sized


def pull_from_hub(reference: Reference, progress: Progress | None = None) -> KeptModel:
    """Fetch a model of the hub into the cache folder; files that are there and current stay.

    Raises `FetchError` as a source fails, `ValueError` where the reference means no one model, `OSError` when
    the disk has no room.
    """
    progress = progress or Progress()
    listing = list_models(reference)
    model, is_ours = choose(listing.models, reference)
    if is_ours:
        kind = weight_type(model.path) or "its only model"
        progress.line(f"{reference} has {len(listing.models)} GGUF files; takes {model.path} ({kind})")
    if listing.licence:
        progress.line(f"licence: {listing.licence}")
    if freed := remove_abandoned():
        progress.line(f"removed {sized(freed)} that stopped fetches had left")
    missing = [file for file in model.files if not _is_current(reference, file)]
    if missing:
        require_space(repository_folder(reference), _bytes_to_come(reference, missing), model.path, progress)
    for file in missing:
        _fetch(listing, file, progress)
    return _found(reference, model)


def list_models(reference: Reference) -> Listing:
    """Return what a repository has. Raises `FetchError`, also for one without a GGUF file."""
    listing = read_listing(reference)
    if not listing.models:
        more = f" ({'; '.join(listing.skipped[:3])})" if listing.skipped else ""
        raise FetchError(
            f"{reference.repo} has no GGUF file that can be fetched{more}; look for one whose name ends in "
            "-GGUF, or download the checkpoint and run: phonelm quantize FOLDER --out model.gguf"
        )
    return listing


def _is_current(reference: Reference, file: RemoteFile) -> bool:
    record = read_record(place_of(reference, file.path))
    return record is not None and record.digest == file.digest.hexadecimal


def _download_of(listing: Listing, file: RemoteFile) -> Download:
    url = file_url(listing.reference.repo, listing.commit, file.path)
    return Download(file.path, url, file.size_bytes, file.digest)


def _bytes_to_come(reference: Reference, files: list[RemoteFile]) -> int:
    have = 0
    for file in files:
        part = Download("", "", file.size_bytes, file.digest).part_of(place_of(reference, file.path))
        have += part.stat().st_size if part.is_file() else 0
    return sum(file.size_bytes for file in files) - have


def _fetch(listing: Listing, file: RemoteFile, progress: Progress) -> None:
    place = place_of(listing.reference, file.path)
    with file_lock(place, progress):
        if _is_current(listing.reference, file):
            return
        wanted = _download_of(listing, file)
        for beginning in beginnings_of(place):
            if beginning != wanted.part_of(place):
                beginning.unlink()
        part = download(wanted, place, progress)
        keep(part, place, Record(listing.commit, file.digest.hexadecimal, file.size_bytes, listing.licence))
        progress.line(f"{file.path}: {sized(file.size_bytes)}, hash checked")


def keep(part: Path, place: Path, record: Record) -> None:
    """Give a checked file its name; the record comes first, and holds only with the size it tells."""
    write_record(place, record)
    part.replace(place)


def _found(reference: Reference, model: RemoteModel) -> KeptModel:
    kept = find_kept(reference.with_choice(model.path))
    assert kept is not None, "a model that was fetched is here"
    return kept
