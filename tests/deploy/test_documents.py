"""
What documents say of the repository is there: files and headings that they link to, tests that they name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_DOCUMENTS = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_TEST = re.compile(r"`(test_\w+)`")
_SHOWN_LEAST = 60


@pytest.fixture(scope="module")
def documents(repository: Path) -> dict[Path, str]:
    """
    Every document without its fenced blocks.
    """
    found = [path for pattern in _DOCUMENTS for path in sorted(repository.glob(pattern))]
    return {path.resolve(): _FENCE.sub("", path.read_text()) for path in found}


def _make_anchor(heading: str) -> str:
    """
    What GitHub makes of a heading.
    """
    return re.sub(r"[^\w\- ]", "", heading.lower().strip()).replace(" ", "-")


def test_what_a_document_links_to_is_there(documents: dict[Path, str], repository: Path) -> None:
    """
    Files of the repository, and headings in them; other sites are not asked.
    """
    anchors = {path: {_make_anchor(each) for each in _HEADING.findall(text)} for path, text in documents.items()}
    missing, linked = [], 0
    for path, text in documents.items():
        for link in _LINK.findall(text):
            if re.match(r"https?:", link):
                continue
            linked += 1
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            if not target.exists() or (anchor and anchor not in anchors.get(target, set())):
                missing.append(f"{path.relative_to(repository.resolve())}: {link}")

    assert linked
    assert [] == missing


def test_the_threat_model_names_tests_that_there_are(repository: Path) -> None:
    """
    Each threat's *shown by* can be run.
    """
    model = (repository / "docs" / "threat-model.md").read_text()
    sources = [path.read_text() for path in (repository / "tests").rglob("test_*.py")]
    there = {name for text in sources for name in re.findall(r"def (test_\w+)\(", text)}
    named = set(_TEST.findall(model))

    assert len(named) > _SHOWN_LEAST
    assert set() == named - there


def test_each_threat_says_what_shows_it_or_what_remains(repository: Path) -> None:
    """
    Every paragraph of the threats, from the first actor to what is out of scope, so that none is merely asserted.
    """
    model = (repository / "docs" / "threat-model.md").read_text()
    threats = model[model.index("## A stranger") : model.index("## What is out of scope")]
    paragraphs = [" ".join(text.split()) for text in threats.split("\n\n") if text.startswith("**")]
    bare = [text[:60] for text in paragraphs if "*Shown by*" not in text and "*Remains:*" not in text]

    assert len(paragraphs) > _SHOWN_LEAST / 2
    assert [] == bare
