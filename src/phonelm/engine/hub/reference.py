"""What a user writes for a model of the Hugging Face hub: `owner/repository[@revision][:file or type]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

FORM = "owner/repository[@revision][:file or quantization]"
_PREFIXES = (
    "https://huggingface.co/",
    "http://huggingface.co/",
    "https://hf.co/",
    "huggingface.co/",
    "hf.co/",
)
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
"""Of an owner or a repository, as the hub allows them."""
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}")
_SEGMENT = re.compile(r"[A-Za-z0-9_(\[](?:[A-Za-z0-9._+=,()\[\] -]{0,198}[A-Za-z0-9_)\]])?")
"""Of a file's path: what every file system takes, and nothing that a shell or a terminal reads otherwise."""
_MOST_FOLDERS = 8


@dataclass(frozen=True)
class Reference:
    """A repository of the hub, and which of its models is meant (None: not said)."""

    owner: str
    repository: str
    revision: str | None = None
    choice: str | None = None
    """A file's path in the repository, its last part, or a type of weights such as `Q4_K_M`."""

    @property
    def repo(self) -> str:
        """Name of the repository on the hub."""
        return f"{self.owner}/{self.repository}"

    def with_choice(self, choice: str | None) -> Reference:
        """Return the reference to another model of the same repository and revision."""
        return Reference(self.owner, self.repository, self.revision, choice)

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.repo}{revision}" + (f":{self.choice}" if self.choice else "")


def looks_like_reference(text: str) -> bool:
    """Whether a text that names nothing on this machine can name something on the hub."""
    try:
        reference = parse_reference(text)
    except ValueError:
        return False
    return reference.choice is not None or not text.lower().endswith(".gguf")


def parse_reference(text: str) -> Reference:
    """Read a reference or the address of a page or a file of the hub.

    Raises `ValueError` for what is neither, and for names that could lead out of a folder.
    """
    text = text.strip()
    for prefix in _PREFIXES:
        if text.lower().startswith(prefix):
            return _from_path(text, text[len(prefix) :])
    if "://" in text:
        raise ValueError(f"{text} is no address of the Hugging Face hub; give {FORM}")
    return _from_name(text, text)


def check_path(path: str) -> str:
    """Return a file's path in a repository. Raises `ValueError` for one that is not safe as a path here."""
    segments = path.split("/")
    is_safe = all(_SEGMENT.fullmatch(segment) and ".." not in segment for segment in segments)
    if not is_safe or len(segments) > _MOST_FOLDERS:
        raise ValueError(f"the file name {path!a} is not safe to keep here; fetch it by other means")
    return path


def _from_path(text: str, path: str) -> Reference:
    """Of an address without its host: `owner/repository`, or that and `/blob/REVISION/FILE`."""
    if ":" in path or "@" in path:
        return _from_name(text, path)
    path = unquote(path.partition("?")[0].partition("#")[0]).rstrip("/")
    segments = path.split("/")
    if len(segments) < 4:
        return _from_name(text, path)
    owner, repository, page, revision, *file = segments
    if page not in ("blob", "resolve", "tree", "raw"):
        raise ValueError(f"{text} is no address of a file on the hub; give {FORM}")
    kept = None if revision == "main" else revision
    return _checked(text, Reference(owner, repository, kept, "/".join(file) or None))


def _from_name(text: str, name: str) -> Reference:
    left, colon, choice = name.partition(":")
    repo, at, revision = left.partition("@")
    if not at:
        choice, at, revision = choice.partition("@")
    owner, slash, repository = repo.partition("/")
    if not slash or (colon and not choice) or (at and not revision):
        raise ValueError(f"{text!a} names no model of the hub; give {FORM}")
    return _checked(text, Reference(owner, repository, revision or None, choice or None))


def _checked(text: str, reference: Reference) -> Reference:
    for name in (reference.owner, reference.repository):
        if not _NAME.fullmatch(name) or ".." in name or "--" in name:
            raise ValueError(f"{text!a} names no model of the hub; give {FORM}")
    revision = reference.revision
    if revision and (not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision):
        raise ValueError(f"{revision!a} is no revision of a repository; give a branch, a tag or a commit")
    if reference.choice is not None:
        check_path(reference.choice)
    return reference
