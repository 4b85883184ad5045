"""
README.md does what it says: its shell blocks run in their order, and what stands below them is what they show.

A block is marked by the second word behind its fence. Without one it is run here, in one shell and one empty folder, as
somebody pastes them one after another. `make` blocks belong to the repository's folder and are tried with `make -n`;
`docker` blocks need an engine and are compared with docker-compose.yml in test_container_files.py.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from program import Program

from gateway.errors import Reason
from gateway.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FENCE = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#:]+)\)")
_CODE_WORD = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")
_DOCUMENTED_PORTS = ("8080", "8081", "8443")
_MARKER = "=== README block"


@dataclass(frozen=True)
class Block:
    """
    One fenced block: its language, its mark, its text.
    """

    language: str
    mark: str | None
    text: str


@dataclass(frozen=True)
class Walk:
    """
    What came of all blocks in one shell: its exit code, what each block showed, what went to standard error.
    """

    returncode: int
    shown: Mapping[int, str]
    errors: str
    folder: Path
    leaves_processes: bool


def _parse_blocks(text: str) -> list[Block]:
    return [Block(language, mark or None, body) for language, mark, body in _FENCE.findall(text)]


@pytest.fixture(scope="module")
def readme() -> str:
    """
    The text of README.md.
    """
    return (Path(__file__).parents[2] / "README.md").read_text()


@pytest.fixture(scope="module")
def ports() -> dict[str, str]:
    """
    A free port for each that README names, since those may be taken here.
    """
    with contextlib.ExitStack() as stack:
        found = []
        for _ in _DOCUMENTED_PORTS:
            bound = stack.enter_context(socket.socket())
            bound.bind(("127.0.0.1", 0))
            found.append(str(bound.getsockname()[1]))
    return dict(zip(_DOCUMENTED_PORTS, found, strict=True))


@pytest.fixture(scope="module")
def blocks(readme: str, ports: Mapping[str, str]) -> list[Block]:
    """
    README's blocks, with the ports that are free here.
    """
    names = "|".join(_DOCUMENTED_PORTS)
    return _parse_blocks(re.sub(rf"\b({names})\b", lambda found: ports[found[1]], readme))


@pytest.fixture(scope="module")
def walk(
    blocks: list[Block],
    ports: Mapping[str, str],
    environment: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Walk]:
    """
    Every unmarked `sh` block, in order, in one `sh` and an empty folder; a command that fails ends it.
    """
    if shutil.which("curl") is None:
        pytest.skip("README calls curl, and there is no curl here")
    script = ["set -e"]
    for number, block in enumerate(blocks):
        if (block.language, block.mark) == ("sh", None):
            script += [f"echo '{_MARKER} {number}'", block.text]
    settings = {"GATEWAY_PORT": ports["8080"], "GATEWAY_ADMIN_PORT": ports["8081"]}
    # Not tmp_path: its path is too long for the sockets of a data folder in it.
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ngw-")))
        shell = Program(
            ["/bin/sh", "-c", "\n".join(script)],
            folder=folder,
            logs=tmp_path_factory.mktemp("readme"),
            environment={**environment, **settings},
        )
        stack.callback(shell.kill)
        try:
            returncode = shell.process.wait(60)
        except subprocess.TimeoutExpired:
            pytest.fail(f"README's blocks do not end. {shell.output}\n{shell.errors}")
        parts = re.split(rf"^{_MARKER} ([0-9]+)\n", shell.output, flags=re.MULTILINE)
        shown = {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}
        yield Walk(returncode, shown, shell.errors, folder, shell.has_processes())


def test_the_blocks_run_in_their_order_and_leave_nothing_running(walk: Walk, blocks: list[Block]) -> None:
    """
    Every command of every block succeeds, and what was started in the background has ended by the last one.
    """
    run_here = [number for number, block in enumerate(blocks) if (block.language, block.mark) == ("sh", None)]

    assert 0 == walk.returncode, f"{walk.shown}\n{walk.errors}"
    assert run_here == list(walk.shown)
    assert not walk.leaves_processes
    assert "Traceback" not in walk.errors


def test_a_block_shows_what_stands_below_it(walk: Walk, blocks: list[Block]) -> None:
    """
    A `text` block is the output of the `sh` block before it. `...` in a line is any text, and alone any lines.
    """
    compared = 0
    for (number, ran), expected in pairwise(enumerate(blocks)):
        if (ran.language, ran.mark, expected[1].language) != ("sh", None, "text"):
            continue
        compared += 1
        lines = [
            r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
            for line in expected[1].text.splitlines()
        ]

        assert re.fullmatch("".join(lines), walk.shown[number]), f"{expected[1].text}\nis not\n{walk.shown[number]}"
    assert compared == sum(block.language == "text" for block in blocks)


def test_a_programs_old_call_works_with_host_and_key_changed(walk: Walk, blocks: list[Block]) -> None:
    """
    The token in place of the key in the query: Noojee's own answer comes down.
    """
    [number] = [number for number, block in enumerate(blocks) if "?apiKey=" in block.text]

    assert '{"Message": "Recording started", "Code": 0}\n' == walk.shown[number]


def test_no_noojee_key_is_left_outside_the_simulators_own_files(walk: Walk) -> None:
    """
    After the walk the keys are in no output and in no file of the trial but those that the simulator made.
    """
    trial = walk.folder / "noojee-trial"
    keys = [path.read_bytes().strip() for path in (trial / "noojee").glob("*.key")]
    written = {path: path.read_bytes() for path in trial.rglob("*") if path.is_file() and path.parent.name != "noojee"}
    written[Path("output")] = "".join((walk.errors, *walk.shown.values())).encode()

    assert 2 == len(keys)
    assert trial / "data" / "gateway.db" in written
    assert [] == [path for path, content in written.items() if any(key in content for key in keys)]


def test_the_ports_in_readme_are_the_defaults(tmp_path: Path) -> None:
    """
    The walk sets ports that are free; without that, they are those that README shows.
    """
    settings = Settings(data_dir=tmp_path)

    assert _DOCUMENTED_PORTS[:2] == (str(settings.port), str(settings.admin_port))


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_knows_what_readme_has_it_make(
    blocks: list[Block], repository: Path, environment: Mapping[str, str]
) -> None:
    """
    Each line of a `make` block is a target that make would carry out, or activates what `make setup` makes.
    """
    lines = [line for block in blocks if block.mark == "make" for line in block.text.splitlines()]
    dry = {}
    for line in lines:
        if line != ". .venv/bin/activate":
            command = line.replace("make ", "make --dry-run --assume-old=.venv/.ready ", 1)
            done = subprocess.run(
                command.split(), cwd=repository, env=environment, capture_output=True, text=True, check=True
            )
            dry[line] = done.stdout

    assert {"make run", "make test", "make setup"} == set(dry)
    assert "exec .venv/bin/noojee-gateway demo\n" == dry["make run"]
    assert "-m pytest" in dry["make test"]


def test_every_reason_in_readme_is_a_registered_one(readme: str) -> None:
    """
    The table of refusals names reasons as the wire does, and each of its statuses.
    """
    rows = [line.split("|") for line in readme.splitlines() if re.match(r"\| [0-9]{3}[,0-9 ]* \|", line)]
    told = {
        (int(status), code)
        for _, statuses, reasons, *_ in rows
        for status in statuses.split(",")
        for code in _CODE_WORD.findall(reasons)
    }
    registered = {reason.code: reason.status for reason in Reason}
    served = {code for _, code in told}

    assert 12 == len(rows)
    assert served <= set(registered)
    assert [] == [code for code in served if (registered[code], code) not in told]


def test_what_readme_links_to_is_there(readme: str, repository: Path) -> None:
    """
    Links to files of the repository lead somewhere.
    """
    linked = set(_LINK.findall(readme))

    assert {"LICENSE", "docs/settings.md", "docs/audit-format.md"} <= linked
    assert [] == [link for link in sorted(linked) if not (repository / link).exists()]
