"""
README.md, docs/operating.md and docs/declaration.md do what they say: their shell blocks run in their order.

What a marked block needs (an engine, root, a cluster, a package index) is not here; what can be said of it without is
looked at, and docs/recorded-runs/ has what came of it elsewhere. `make` blocks are tried with `make -n`.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from shell_document import Block, Walk, find_mismatches, parse_blocks, walk_through

from gateway.cli.main import create_parser
from gateway.errors import Reason
from gateway.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Walker = Callable[[str], contextlib.AbstractContextManager[Walk]]

_REPOSITORY = Path(__file__).parents[2]
_CODE_WORD = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")
_DOCUMENTED_PORTS = ("8080", "8081", "8443")
_INSTALLED_SCRIPTS = "/opt/noojee-gateway/backup"


class Document(NamedTuple):
    """
    What is known of a document beside its text.

    Attributes:
        before: What it takes for granted.
        key_files: Where Noojee's keys lie, that must be nowhere else afterwards.
        seconds: How long its blocks may take.
    """

    before: str
    key_files: str
    seconds: float


_DOCUMENTS = {
    "README.md": Document("", "**/noojee/*.key", 60),
    "docs/operating.md": Document("", "**/noojee/*.key", 100),
    "docs/declaration.md": Document(
        "noojee-gateway init > init.log 2>&1; umask 077; echo 7f3a-all > everything.key; echo 9c1e-alice > alice.key",
        "*.key",
        60,
    ),
}


def _read_blocks(name: str) -> list[Block]:
    return parse_blocks((_REPOSITORY / name).read_text())


_MARKED = [
    pytest.param(block, id=f"{name}-{number}-{block.mark}")
    for name in _DOCUMENTS
    for number, block in enumerate(_read_blocks(name))
    if block.language == "sh" and block.mark is not None
]


@pytest.fixture
def ports() -> dict[str, str]:
    """
    A free port for each that documents name, since those may be taken here.
    """
    with contextlib.ExitStack() as stack:
        found = []
        for _ in _DOCUMENTED_PORTS:
            bound = stack.enter_context(socket.socket())
            bound.bind(("127.0.0.1", 0))
            found.append(str(bound.getsockname()[1]))
    return dict(zip(_DOCUMENTED_PORTS, found, strict=True))


@pytest.fixture
def walk(ports: Mapping[str, str], environment: Mapping[str, str], tmp_path: Path) -> Walker:
    """
    Runs a document's blocks with the ports that are free here, and with the scripts of this repository.
    """
    settings = {"GATEWAY_PORT": ports["8080"], "GATEWAY_ADMIN_PORT": ports["8081"]}

    @contextlib.contextmanager
    def walk_document(name: str) -> Iterator[Walk]:
        for tool in ("curl", "openssl"):
            if any(tool in block.text for block in _read_blocks(name) if block.is_run) and shutil.which(tool) is None:
                pytest.skip(f"{name} calls {tool}, and there is no {tool} here")
        # Not tmp_path: its path is too long for the sockets of a data folder in it.
        with (
            tempfile.TemporaryDirectory(prefix="ngw-") as folder,
            walk_through(
                [Block(each.language, each.mark, _fit(each.text, ports)) for each in _read_blocks(name)],
                before=_DOCUMENTS[name].before,
                folder=Path(folder),
                logs=tmp_path,
                environment={**environment, **settings},
                seconds=_DOCUMENTS[name].seconds,
            ) as walked,
        ):
            yield walked

    return walk_document


def _fit(text: str, ports: Mapping[str, str]) -> str:
    """
    Put what is here in the place of what is on an operator's machine.
    """
    text = re.sub(rf"\b({'|'.join(ports)})\b", lambda found: ports[found[1]], text)
    return text.replace(_INSTALLED_SCRIPTS, str(_REPOSITORY / "deploy" / "backup"))


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_the_blocks_run_in_their_order_and_show_what_stands_below_them(name: str, walk: Walker) -> None:
    """
    Every command succeeds, nothing is left running, and no key of Noojee's is in any output or any file but its own.
    """
    with walk(name) as walked:
        run_here = [number for number, block in enumerate(walked.blocks) if block.is_run]

        assert 0 == walked.returncode, f"{walked.shown}\n{walked.errors}"
        assert run_here == list(walked.shown)
        assert not walked.leaves_processes
        assert "Traceback" not in walked.errors
        assert [] == find_mismatches(walked)

        files = set(walked.folder.glob(_DOCUMENTS[name].key_files))
        keys = {path.read_bytes().strip() for path in files if path.parent.name not in {"keys", "data"}}
        written = {path: path.read_bytes() for path in walked.folder.rglob("*") if path.is_file()}
        written = {path: content for path, content in written.items() if path not in files}
        written[Path("output")] = "".join((walked.errors, *walked.shown.values())).encode()

        assert len(keys) > 1
        assert "gateway.db" in {path.name for path in written}
        assert [] == [path for path, content in written.items() if any(key in content for key in keys)]


def test_a_programs_old_call_works_with_host_and_key_changed(walk: Walker) -> None:
    """
    The token in place of the key in the query: Noojee's own answer comes down.
    """
    [number] = [number for number, block in enumerate(_read_blocks("README.md")) if "?apiKey=" in block.text]
    with walk("README.md") as walked:
        assert '{"Message": "Recording started", "Code": 0}\n' == walked.shown[number]


@pytest.mark.parametrize("block", _MARKED)
def test_a_block_that_cannot_run_here_is_well_formed(block: Block) -> None:
    """
    The shell can read it, the gateway's parser understands its verbs, and the files that it names are there.

    It can be pasted: no editor opens that would take the lines below it, and no engine is handed a relative path.
    """
    done = subprocess.run(["sh", "-n"], input=block.text, capture_output=True, text=True, check=False)
    joined = block.text.replace("\\\n", " ")
    verbs = re.findall(r"(?:^|[ (])noojee-gateway ([a-z][^|<>;&)\n]*)", joined, re.MULTILINE)
    named = re.findall(r"(?:^|[ :=./])(deploy/[\w./-]+)", joined)

    assert (0, "") == (done.returncode, done.stderr)
    for words in verbs:
        assert create_parser().parse_command(shlex.split(words)).run, words
    assert [] == [path for path in named if not (_REPOSITORY / path).exists()]
    assert not re.search(r"systemctl edit|--volume \.", block.text)


def test_each_mark_is_explained_where_it_stands(repository: Path) -> None:
    """
    docs/operating.md says of each mark why its blocks are not run, and of no other.
    """
    text = (repository / "docs" / "operating.md").read_text()
    marks = {block.mark for block in parse_blocks(text) if block.language == "sh" and block.mark is not None}
    explained = set(re.findall(r"^\| `([a-z]+)` \| [^|]+ \|$", text, re.MULTILINE))

    assert marks == explained
    assert {"make", "docker"} == {
        block.mark for block in _read_blocks("README.md") if block.language == "sh" and block.mark is not None
    }


def test_the_ports_in_readme_are_the_defaults(tmp_path: Path) -> None:
    """
    The walk sets ports that are free; without that, they are those that README shows.
    """
    settings = Settings(data_dir=tmp_path)

    assert _DOCUMENTED_PORTS[:2] == (str(settings.port), str(settings.admin_port))


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_knows_what_readme_has_it_make(repository: Path, environment: Mapping[str, str]) -> None:
    """
    Each line of a `make` block is a target that make would carry out, or activates what `make setup` makes.
    """
    lines = [line for block in _read_blocks("README.md") if block.mark == "make" for line in block.text.splitlines()]
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


def test_every_reason_in_readme_is_a_registered_one(repository: Path) -> None:
    """
    The table of refusals names reasons as the wire does, and each of its statuses.
    """
    readme = (repository / "README.md").read_text()
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
