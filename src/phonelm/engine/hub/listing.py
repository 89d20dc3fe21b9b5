"""The GGUF models of a repository, and which of them a reference means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from phonelm.engine.hub.client import read_api
from phonelm.engine.hub.digest import Digest
from phonelm.engine.hub.errors import FetchError
from phonelm.engine.hub.reference import Reference, check_path
from phonelm.words import printable, sized

DEFAULT_TYPES = ("Q4_K_M", "Q4_0")
"""What is taken of several where nothing is said: small, and near the original."""
_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_TYPE = re.compile(r"(?:I?Q\d[A-Z0-9_]*|T?Q\d_\d|B?F16|F32|MXFP4(?:_MOE)?)", re.IGNORECASE)
_COMPANIONS = re.compile(r"(?:^|[/._-])(?:mmproj|imatrix)(?:[._-]|$)", re.IGNORECASE)
"""GGUF files that are no models: projectors of images, importance matrices."""
_MOST_LISTED = 12


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repository, with what its bytes must hash to."""

    path: str
    size_bytes: int
    digest: Digest


@dataclass(frozen=True)
class RemoteModel:
    """A model in one file or several."""

    files: tuple[RemoteFile, ...]

    @property
    def path(self) -> str:
        """Path of the first file, by which the model is loaded."""
        return self.files[0].path

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True)
class Listing:
    """What a repository has at one commit."""

    reference: Reference
    commit: str
    licence: str | None
    models: tuple[RemoteModel, ...]
    skipped: tuple[str, ...] = ()
    """GGUF files that are not offered, each with the reason."""


class Named(Protocol):
    """What has the path of a model in its repository."""

    @property
    def path(self) -> str:
        """Path of the first file."""
        ...


_Model = TypeVar("_Model", bound=Named)


def read_listing(reference: Reference) -> Listing:
    """Ask the hub what a repository has. Raises `FetchError`."""
    revision = quote(reference.revision or "main", safe="")
    what = reference.with_choice(None)
    answer = read_api(f"models/{reference.repo}/revision/{revision}?blobs=true", str(what))
    try:
        return _listing_of(reference, answer)
    except (KeyError, TypeError, AttributeError) as error:
        raise FetchError(
            f"the hub's answer about {what} cannot be read ({error!r}); check HF_ENDPOINT"
        ) from None


def choose(models: Sequence[_Model], reference: Reference) -> tuple[_Model, bool]:
    """Return the model that is meant, and whether that is a choice of ours.

    Raises `ValueError` that lists the models where none or several are meant.
    """
    if reference.choice is None:
        return _default(models, reference)
    for matches in (_is_path, _is_file, _is_type):
        found = [model for model in models if matches(model.path, reference.choice)]
        if len(found) == 1:
            return found[0], False
        if found:
            raise ValueError(f"{reference} names several models: {_names(found)}; give a whole file name")
    raise ValueError(f"{reference} is not there; there are {_names(models)}")


def weight_type(path: str) -> str | None:
    """The type of weights that a file's name tells, in capitals: `Q4_K_M`; None where it tells none."""
    stem = path.rpartition("/")[2]
    part = _PART.fullmatch(stem)
    words = re.split(r"[.-]", part[1] if part else re.sub(r"\.gguf$", "", stem, flags=re.IGNORECASE))
    types = [word for word in words if _TYPE.fullmatch(word)]
    if not types:
        types = re.findall(rf"_({_TYPE.pattern})$", words[-1], flags=re.IGNORECASE)
    return types[-1].upper() if types else None


def part_number(path: str) -> tuple[str, int, int] | None:
    """Stem, number and count of a part of a split model; None for a whole file."""
    found = _PART.fullmatch(path)
    return (found[1], int(found[2]), int(found[3])) if found else None


def _default(models: Sequence[_Model], reference: Reference) -> tuple[_Model, bool]:
    usual = [model for model in models if not _COMPANIONS.search(model.path)] or list(models)
    if len(usual) == 1:
        return usual[0], len(models) > 1
    for wanted in DEFAULT_TYPES:
        found = [model for model in usual if weight_type(model.path) == wanted]
        if len(found) == 1:
            return found[0], True
    raise ValueError(f"{reference} has several models: {_names(usual)}; give {reference}:FILE")


def _is_path(path: str, choice: str) -> bool:
    part = part_number(path)
    return path == choice or (part is not None and _same_model(part, choice))


def _is_file(path: str, choice: str) -> bool:
    name = path.rpartition("/")[2]
    return _is_path(name.lower(), choice.lower()) or name.lower() == f"{choice.lower()}.gguf"


def _is_type(path: str, choice: str) -> bool:
    return not _COMPANIONS.search(path) and weight_type(path) == choice.upper()


def _same_model(part: tuple[str, int, int], choice: str) -> bool:
    """Whether the choice is any part of the same split model, or its name without number."""
    other = part_number(choice)
    if other is None:
        return choice in (part[0], f"{part[0]}.gguf")
    return (other[0], other[2]) == (part[0], part[2])


def _names(models: Sequence[Named]) -> str:
    names = [printable(model.path) for model in models[:_MOST_LISTED]]
    more = len(models) - len(names)
    return ", ".join(names) + (f" and {more} more (see --list)" if more else "")


def _listing_of(reference: Reference, answer: Any) -> Listing:
    files, skipped = [], []
    for entry in answer["siblings"]:
        name = entry["rfilename"]
        if not name.lower().endswith(".gguf"):
            continue
        try:
            files.append(RemoteFile(check_path(name), int(entry["size"]), Digest.of_entry(entry)))
        except (ValueError, KeyError, TypeError) as error:
            skipped.append(f"{printable(name, 100)}: {error}")
    models, incomplete = _grouped(files)
    licence = _licence_of(answer)
    return Listing(reference, _commit_of(answer), licence, models, (*skipped, *incomplete))


def _commit_of(answer: Any) -> str:
    commit = answer["sha"]
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise TypeError("no commit")
    return str(commit)


def _licence_of(answer: Any) -> str | None:
    """Of the card's head, else of the tags, as the hub has read it."""
    card = answer.get("cardData") or {}
    for key in ("license_name", "license"):
        if isinstance(licence := card.get(key), str) and licence != "other":
            return printable(licence, 60)
    tags = [tag for tag in answer.get("tags") or () if isinstance(tag, str)]
    found = [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    return printable(found[0], 60) if found else None


def _grouped(files: Iterable[RemoteFile]) -> tuple[tuple[RemoteModel, ...], list[str]]:
    """Whole files as they are, parts of one model together, and what is said of models that lack a part."""
    models: list[RemoteModel] = []
    split: dict[tuple[str, int], dict[int, RemoteFile]] = {}
    for file in sorted(files, key=lambda file: file.path):
        if part := part_number(file.path):
            split.setdefault((part[0], part[2]), {})[part[1]] = file
        else:
            models.append(RemoteModel((file,)))
    incomplete = []
    for (stem, count), parts in split.items():
        if list(parts) == list(range(1, count + 1)):
            models.append(RemoteModel(tuple(parts.values())))
        else:
            incomplete.append(f"{stem}: {len(parts)} of its {count} parts are there")
    return tuple(sorted(models, key=lambda model: model.path)), incomplete


def table(listing: Listing) -> list[str]:
    """One line for each model: its type, its size and its path."""
    lines = [
        f"{weight_type(model.path) or '-':<10} {sized(model.size_bytes):>10}  {model.path}"
        for model in listing.models
    ]
    return lines + [f"not offered: {text}" for text in listing.skipped]
