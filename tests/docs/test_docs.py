"""What the documents name exists, and the site is built without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "research/*.md")
    for path in ROOT.glob(pattern)
)
HISTORY = {"research/LOG.md", "CHANGELOG.md"}
PATH = re.compile(
    r"`((?:src|native|tests|benchmarks|docs|recipes|tools|research)/[\w./-]+?|[A-Z]\w+\.md)(?: --[^`]*)?`"
)
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")


def text(document: str) -> str:
    return (ROOT / document).read_text()


def prose(document: str) -> str:
    return re.sub(r"^```.*?^```", "", text(document), flags=re.DOTALL | re.MULTILINE)


def test_there_are_documents() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md"} <= set(DOCUMENTS)


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if one not in HISTORY])
def test_named_files_exist(document: str) -> None:
    assert [name for name in PATH.findall(text(document)) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    folder = (ROOT / document).parent
    links = [(link, anchor) for link, anchor in LINK.findall(prose(document)) if ":" not in link]
    files = [link for link, _ in links if link and not (folder / link).exists()]
    anchors = [
        link + anchor
        for link, anchor in links
        if anchor and anchor[1:] not in headings(folder / link if link else ROOT / document)
    ]
    assert files + anchors == []


def headings(path: Path) -> set[str]:
    """Anchors of a page, as GitHub and mkdocs make them."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_is_linked_from_the_readme_and_in_the_menu() -> None:
    readme = {link for link, _ in LINK.findall(text("README.md"))}
    menu = yaml.safe_load(text("mkdocs.yml"))["nav"]
    pages = {page for entry in menu for page in _pages(entry)}
    for document in DOCUMENTS:
        if document != "README.md":
            assert document in readme
            assert document.removeprefix("docs/") in pages


def _pages(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    values = entry.values() if isinstance(entry, dict) else entry
    return [page for value in values for page in _pages(value)]


def test_the_site_has_no_warnings_and_asks_nobody_else(tmp_path: Path) -> None:
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(DOCUMENTS) - 1
    fetched = re.compile(
        r'<(?:script|img|source|iframe)[^>]*(?:src|srcset)="https?:|<link rel="stylesheet"[^>]*href="http'
    )
    assert [page.name for page in pages if fetched.search(page.read_text())] == []
    start = (tmp_path / "index.html").read_text()
    for picture in re.findall(r'src(?:set)?="([^"]+\.svg)"', start):
        assert (tmp_path / picture).is_file()
