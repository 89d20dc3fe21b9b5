"""HTTP as the hub wants it: endpoint, token, redirects, errors. API: huggingface.co/docs/hub/api."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from phonelm.engine.hub.errors import FetchError, elsewhere, refusal
from phonelm.version import package_version

if TYPE_CHECKING:
    from http.client import HTTPException, HTTPResponse
    from urllib.error import HTTPError
    from urllib.request import OpenerDirector

CONNECT_TIMEOUT_S = 10.0
_MOST_LISTING_BYTES = 64 << 20


def endpoint() -> str:
    """Address of the hub, or of the mirror that `HF_ENDPOINT` names. Raises `ValueError` for no address."""
    address = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or "https://huggingface.co"
    if urlsplit(address).scheme not in ("http", "https"):
        raise ValueError(f"HF_ENDPOINT is {address}; give an address such as https://huggingface.co")
    return address


def file_url(repo: str, revision: str, path: str) -> str:
    """Address of a file's bytes."""
    return f"{endpoint()}/{repo}/resolve/{quote(revision, safe='')}/{quote(path)}"


def token() -> str | None:
    """The user's token: `HF_TOKEN`, else the file that `hf auth login` leaves. Raises `ValueError`."""
    found = os.environ.get("HF_TOKEN", "").strip() or _kept_token()
    if found and not (found.isascii() and found.isprintable() and " " not in found):
        raise ValueError("the token of the hub has characters that no token has; set HF_TOKEN anew")
    return found or None


def _kept_token() -> str:
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    path = Path(os.environ.get("HF_TOKEN_PATH") or Path(home, "token")).expanduser()
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def network_errors() -> tuple[type[OSError] | type[HTTPException], ...]:
    """Not `OSError` as a whole: a full disk is no fault of the network."""
    import http.client
    import ssl
    import urllib.error

    return urllib.error.URLError, http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError


def reason_of(error: BaseException) -> str:
    """What an error of the network says, in a few words."""
    reason = getattr(error, "reason", None) or error
    return str(reason) or type(reason).__name__


@contextlib.contextmanager
def opened(
    url: str, what: str, headers: dict[str, str] | None = None, timeout_s: float = CONNECT_TIMEOUT_S
) -> Iterator[HTTPResponse]:
    """Open an address; the token goes to the hub's own host only, also after redirects.

    Raises `FetchError` for an answer that is an error, and what `network_errors` lists while nobody answers.
    """
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": f"phonelm/{package_version()}"})
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    secret = token() if _origin(url) == _origin(endpoint()) else None
    if secret:
        request.add_header("Authorization", f"Bearer {secret}")
    try:
        answer = _opener().open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal_of(error, what) from None
    with answer:
        yield answer


def require_online() -> None:
    """Raises `FetchError` where the user wants the hub not to be asked."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise FetchError("HF_HUB_OFFLINE is set, so that the hub is not asked; unset it to fetch files")


def read_api(path: str, what: str) -> Any:
    """Return the document of an address below the hub's `/api`. Raises `FetchError`."""
    require_online()
    try:
        with opened(f"{endpoint()}/api/{path}", what) as answer:
            text = answer.read(_MOST_LISTING_BYTES + 1)
    except FetchError:
        raise
    except network_errors() as error:
        raise FetchError(
            f"the hub is out of reach ({reason_of(error)}); check the network, or set HF_ENDPOINT to a mirror"
        ) from error
    try:
        return json.loads(text) if len(text) <= _MOST_LISTING_BYTES else None
    except (ValueError, RecursionError):
        raise FetchError(f"{endpoint()} did not answer as the hub does; check HF_ENDPOINT") from None


def _refusal_of(error: HTTPError, what: str) -> FetchError:
    if _origin(error.url) != _origin(endpoint()):
        return elsewhere(error.code, what, urlsplit(error.url).hostname or "")
    code = error.headers.get("X-Error-Code", "")
    return refusal(error.code, code, what, error.headers.get("Retry-After"))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _opener() -> OpenerDirector:
    import urllib.error
    import urllib.request

    class Redirects(urllib.request.HTTPRedirectHandler):
        """As urllib's, but secrets stay with their host, and what was encrypted stays so."""

        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            if req.full_url.startswith("https:") and not newurl.startswith("https:"):
                raise FetchError(f"{urlsplit(req.full_url).hostname} leads to an address without encryption")
            kept = {name: value for name, value in req.headers.items() if name.lower() != "host"}
            if _origin(newurl) != _origin(req.full_url):
                kept = {name: value for name, value in kept.items() if name.lower() != "authorization"}
            return urllib.request.Request(newurl.replace(" ", "%20"), headers=kept)

        # Python 3.10 does not know it.
        http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302

    return urllib.request.build_opener(Redirects)
