"""Hook of mkdocs: pages from outside docs/, and links that work in the repository and on the site alike."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "research/LOG.md": "research/LOG.md",
    "research/shape_claim.md": "research/shape_claim.md",
    "research/shape_claim.csv": "research/shape_claim.csv",
    "research/shape_claim.png": "research/shape_claim.png",
}
"""Path in the repository: path on the site."""
_LINK = re.compile(r'(\]\(|src="|srcset=")([^)#"\s]+)')


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside docs/."""
    for source, target in PAGES.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links between the repository's files into links between pages, or to the repository."""
    sources = {target: source for source, target in PAGES.items()}
    target = page.file.src_uri
    source = sources.get(target, f"docs/{target}")

    def rewritten(match: re.Match[str]) -> str:
        opening, link = match.groups()
        if re.match(r"[a-z]+:", link):
            return match.group()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        if not (ROOT / path).exists():
            return match.group()  # mkdocs warns
        on_site = PAGES.get(path, path.removeprefix("docs/"))
        if path not in PAGES and not path.startswith("docs/"):
            return f"{opening}{config.extra['repository']}/blob/main/{path}"
        base = posixpath.dirname(target) if opening == "](" else posixpath.dirname(page.file.dest_uri)
        return opening + posixpath.relpath(on_site, base or ".")

    return _LINK.sub(rewritten, markdown)
