"""Failures on the way to a file, each one line with the next step."""

from __future__ import annotations

from phonelm.words import printable


class FetchError(ConnectionError):
    """A source is out of reach, refuses, or gave something else than the file."""

    status: int = 0
    """Of the HTTP answer that was an error; 0 for none."""


def refusal(status: int, code: str, what: str, retry_after: str | None = None) -> FetchError:
    """The error of an HTTP status; `code` is the hub's `X-Error-Code`, "" where it gives none."""
    return _with_status(status, _text_of(status, code, printable(what, 200), retry_after))


def elsewhere(status: int, what: str, host: str) -> FetchError:
    """The error of an HTTP status from another host than the hub, such as one that holds its files."""
    text = f"{printable(host, 80)} refuses {printable(what, 200)} ({status}); run again later"
    return _with_status(status, text)


def _with_status(status: int, text: str) -> FetchError:
    error = FetchError(text)
    error.status = status
    return error


def _text_of(status: int, code: str, what: str, retry_after: str | None) -> str:
    if code == "GatedRepo" or (status == 403 and not code):
        return (
            f"{what} is gated ({status}): accept its licence on its page of the hub, and set HF_TOKEN to a "
            "token of that account"
        )
    if code == "RepoNotFound" or status == 401:
        return (
            f"the hub knows no {what} that is open to you ({status}): check the name; for a private or gated "
            "one accept its licence and set HF_TOKEN"
        )
    if code == "RevisionNotFound":
        return f"{what} has no such revision ({status}); give a branch, a tag or a commit of it"
    if status == 404:
        return f"{what} is not on the hub (404); check the name (phonelm pull OWNER/REPOSITORY --list)"
    if status == 429:
        wait = f"wait {retry_after} s" if (retry_after or "").isdigit() else "wait some minutes"
        return f"the hub limits how often it is asked (429): {wait} and run again, or set HF_TOKEN"
    if status >= 500:
        return f"the hub fails ({status}) at {what}; try again later"
    return f"the hub refuses {what} ({status}); check the name, or update phonelm"
