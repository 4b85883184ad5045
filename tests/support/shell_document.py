"""
Documents whose shell blocks can be pasted one after another: what is in them, and one shell that runs them all.

A block is marked by the second word behind its fence. Without one it is run; with one it is not, and the document says
why; a block of another language with a file's name is that file. `text` shows what the block before it prints.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Block", "Walk", "find_mismatches", "parse_blocks", "walk_through"]

_FENCE = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARKER = "=== block"


@dataclass(frozen=True)
class Block:
    """
    One fenced block: its language, its mark, its text.
    """

    language: str
    mark: str | None
    text: str

    @property
    def is_run(self) -> bool:
        """
        Whether somebody who pastes everything runs it.
        """
        return (self.language, self.mark) == ("sh", None)

    @property
    def is_file(self) -> bool:
        """
        Whether it is the content of a file, whose name is its mark.
        """
        return self.mark is not None and self.language != "sh"


@dataclass(frozen=True)
class Walk:
    """
    What came of all blocks in one shell.

    Attributes:
        blocks: As they were run.
        returncode: The shell's.
        shown: What each block printed, by its number.
        errors: All that went to standard error.
        leaves_processes: Whether something that was started is still there.
    """

    blocks: Sequence[Block]
    returncode: int
    shown: Mapping[int, str]
    errors: str
    folder: Path
    leaves_processes: bool


def parse_blocks(text: str) -> list[Block]:
    """
    The blocks of a document, in their order.
    """
    return [Block(language, mark or None, body) for language, mark, body in _FENCE.findall(text)]


@contextlib.contextmanager
def walk_through(
    blocks: Sequence[Block], *, before: str, folder: Path, logs: Path, environment: Mapping[str, str], seconds: float
) -> Iterator[Walk]:
    """
    Every block that is to be run, in order, in one `sh` and one folder; a command that fails ends it.

    Args:
        before: What the document takes for granted.
        seconds: How long all of it may take.
    """
    script = ["set -e", before]
    for number, block in enumerate(blocks):
        if block.is_file:
            script.append(f"cat > {block.mark} << 'END OF FILE'\n{block.text}END OF FILE")
        elif block.is_run:
            script += [f"echo '{_MARKER} {number}'", block.text]
    shell = Program(["/bin/sh", "-c", "\n".join(script)], folder=folder, logs=logs, environment=environment)
    try:
        returncode = shell.process.wait(seconds)
        parts = re.split(rf"^{_MARKER} ([0-9]+)\n", shell.output, flags=re.MULTILINE)
        shown = {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}
        yield Walk(blocks, returncode, shown, shell.errors, folder, shell.has_processes())
    except subprocess.TimeoutExpired:
        raise AssertionError(f"the blocks do not end. {shell.output}\n{shell.errors}") from None
    finally:
        shell.kill()


def find_mismatches(walk: Walk) -> list[str]:
    """
    Where a block does not print what the `text` block below it shows. `...` in a line is any text, and alone any lines.
    """
    mismatches = []
    for (number, ran), (_, expected) in pairwise(enumerate(walk.blocks)):
        if ran.is_run and (expected.language, expected.mark) == ("text", None):
            pattern = "".join(_make_pattern(line) for line in expected.text.splitlines())
            if re.fullmatch(pattern, walk.shown.get(number, "")) is None:
                mismatches.append(f"{expected.text}\nis not\n{walk.shown.get(number)}")
    return mismatches


def _make_pattern(line: str) -> str:
    if line == "...":
        return r"(?:.*\n)*?"
    return re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
