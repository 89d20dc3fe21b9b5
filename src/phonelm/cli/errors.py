"""One line for every failure: what is wrong and what to do. `PHONELM_DEBUG=1` adds the traceback."""

from __future__ import annotations

import errno
import functools
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from phonelm.cli.streams import flush_output

_PYTHONS_TEXT = warnings.formatwarning
_EXTRA_OF = {
    "torch": "train",
    "transformers": "train",
    "tokenizers": "train",
    "safetensors": "train",
    "peft": "train",
    "datasets": "train",
    "huggingface_hub": "train",
    "pyarrow": "eval",
    "lm_eval": "harness",
    "zstandard": "train",
    "matplotlib": "report",
    "llguidance": "grammar",
    "ray": "ray",
}
_AFTER_INTERRUPT = {
    "build": "; the same command resumes",
    "train": "; the same command resumes",
    "tune": "; the same command resumes",
    "pull": "; the same command goes on where it was",
    "evaluate": "; the same command goes on where it was",
    "fit_quality": "; the same command resumes",
}
"""What a verb that was stopped can promise; the others begin anew."""


def guarded(verb: Callable[..., None]) -> Callable[..., None]:
    """Wrap a verb so that a failure becomes one line on standard error and exit code 1."""

    @functools.wraps(verb)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            verb(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            _leave_quietly()
        except KeyboardInterrupt:
            print(f"phonelm: interrupted{_AFTER_INTERRUPT.get(verb.__name__, '')}", file=sys.stderr)
            raise typer.Exit(1) from None
        except Exception as error:
            if isinstance(error, (typer.Exit, typer.Abort)) or is_usage_error(error):
                raise
            report(flush_output() or error)
            raise typer.Exit(1) from error

    return run


def warning_text(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a warning of ours as one line like an error's, others as Python prints them."""
    if category.__module__.partition(".")[0] == "phonelm":
        return f"phonelm: warning: {message}\n"
    return _PYTHONS_TEXT(message, category, filename, lineno, line)


def report(error: Exception) -> None:
    """Print the error's line, after its traceback when `PHONELM_DEBUG` is set."""
    if os.environ.get("PHONELM_DEBUG"):
        traceback.print_exception(error)
    print(f"phonelm: {explain(error)}", file=sys.stderr)


def explain(error: Exception) -> str:
    """Return one line that says what is wrong and what to do next."""
    return " ".join(_explanation(error).split())


def is_usage_error(error: BaseException) -> bool:
    """Whether the command line itself was wrong (exit code 2)."""
    # typer brings its own copy of click or uses the installed one, by its version; the name is the same.
    return any(kind.__name__ == "ClickException" for kind in type(error).__mro__)


def _explanation(error: Exception) -> str:
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return _invalid_fields(error)
    if isinstance(error, ImportError):
        return _missing_package(error)
    if isinstance(error, MemoryError):
        return "out of memory; take a smaller model, a shorter context or a smaller batch"
    if isinstance(error, OSError) and error.errno is not None:
        return _system_failure(error)
    if isinstance(error, (ValueError, OSError)):
        return str(error)
    return (
        f"internal error: {type(error).__name__}: {error}; run again with PHONELM_DEBUG=1 for the traceback "
        "and report it"
    )


def _invalid_fields(error: Any) -> str:
    from phonelm.validation import message_of

    problems = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        message = message_of(problem)
        problems.append(f"{place}: {message}" if place else message)
    return f"{error.title} is not valid: {'; '.join(problems)}; correct it and run again"


def _missing_package(error: ImportError) -> str:
    package = (error.name or "").split(".")[0]
    if extra := _EXTRA_OF.get(package):
        return f'this needs {package}, which is not installed; run: pip install "phonelm[{extra}]"'
    if error.name == "phonelm._native" or "_native" in str(error):
        return f"the native core does not load ({error}); build it with: pip install ."
    return f"a package does not import ({error}); run: pip install --force-reinstall phonelm"


def _system_failure(error: OSError) -> str:
    place = f": {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{place}; free some space and run again"
    if isinstance(error, FileNotFoundError):
        return f"no such file or folder{place}; check the path"
    advice = "; choose another place or change its rights"
    if _is_cached(error.filename):
        advice = "; name another cache folder with PHONELM_CACHE or change its rights"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return f"no permission{place}{advice}"
    if isinstance(error, (NotADirectoryError, FileExistsError)):
        return f"{(error.strerror or str(error)).lower()}{place}{advice}"
    return f"{(error.strerror or str(error)).lower()}{place}; check the path and the disk"


def _is_cached(path: object) -> bool:
    """Whether a path is the cache folder or in it."""
    from phonelm.files import cache_folder

    if not isinstance(path, (str, Path)):
        return False
    return Path(path).absolute().is_relative_to(cache_folder().absolute())


def _leave_quietly() -> None:
    """The reader of our output has gone (`| head`): whatever is still buffered has nowhere to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(1)
