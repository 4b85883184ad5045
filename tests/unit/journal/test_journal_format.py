"""
`docs/audit-format.md`: what it says is what is there, and the verifier in it works.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.audit.ending import _WINDOW_BYTES
from gateway.audit.event import FIELDS, LINE_LIMIT_BYTES, Tag
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.audit.journal import Journal

DOCUMENT = (Path(__file__).parents[3] / "docs" / "audit-format.md").read_text()


@pytest.fixture
def run_verifier(tmp_path: Path, root: Path) -> Callable[[], subprocess.CompletedProcess[str]]:
    """
    Runs the document's verifier over the journal, without any of our code.
    """
    program = re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert program is not None
    script = tmp_path / "verifier.py"
    script.write_text(program[1])
    return lambda: subprocess.run(
        [sys.executable, "-I", str(script), str(root)], capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(open_journal: Callable[..., Journal]) -> Path:
    """
    A stream over several segments, with a torn end in the middle and one at the end.
    """
    for _ in range(2):
        journal = open_journal(segment_limit_bytes=500)
        for number in range(5):
            journal.record_now({"tag": Tag.CALL_DENIED, "request_id": f"request-{number}"})
        journal.close()
        with max(journal.path.glob("*.jsonl")).open("ab") as file:
            file.write(b'{"v":1,' + b"\0" * 40)
    (journal.path / "00000099.jsonl").write_bytes(b'{"torn at birth')
    return journal.path


def test_every_field_and_the_order_are_documented() -> None:
    """
    The table's first column, read downward, is the contract's list.
    """
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", DOCUMENT.split("### Calls")[0], re.MULTILINE)

    assert list(FIELDS) == [name for row in rows for name in re.findall(r"`([a-z_]+)`", row)]


def test_every_tag_that_is_no_change_is_documented() -> None:
    """
    Changes are told by their rule.
    """
    changes = ("upstream.", "credential.", "caller.", "grant.", "token.", "registry.")

    assert [tag for tag in Tag if not tag.startswith(changes) and f"`{tag}`" not in DOCUMENT] == []


def test_the_numbers_are_the_programs() -> None:
    """
    The longest line, and the window in which a crash can leave a hole.
    """
    assert f"at most {LINE_LIMIT_BYTES:,} bytes" in DOCUMENT
    assert f"{_WINDOW_BYTES:,} bytes" in DOCUMENT
    assert str(_WINDOW_BYTES) in DOCUMENT


def test_an_auditors_own_verifier_agrees_with_ours(
    folder: Path, run_verifier: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    """
    The same records and heads.
    """
    report = verify(folder.parent)

    done = run_verifier()

    assert report.ok
    assert len(report.torn) == 3
    assert [f"{s.stream} {s.records} {s.head}" for s in report.streams] == done.stdout.splitlines()
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize(("old", "new"), [(b"request-1", b"request-7"), (b"\n", b" \n"), (b'"seq":2', b'"seq":3')])
def test_an_auditors_own_verifier_finds_a_change(
    folder: Path, run_verifier: Callable[[], subprocess.CompletedProcess[str]], old: bytes, new: bytes
) -> None:
    """
    Both name the file.
    """
    path = folder / "00000001.jsonl"
    path.write_bytes(path.read_bytes().replace(old, new, 1))

    done = run_verifier()

    assert not verify(folder.parent).ok
    assert done.returncode == 1
    assert "jsonl" in done.stderr


@pytest.mark.parametrize("name", ["00000001.jsonl", "00000002.jsonl"])
def test_an_auditors_own_verifier_misses_a_segment(
    folder: Path, run_verifier: Callable[[], subprocess.CompletedProcess[str]], name: str
) -> None:
    """
    The start, or one in the middle.
    """
    (folder / name).unlink()

    assert "is missing" in run_verifier().stderr
    assert not verify(folder.parent).ok
