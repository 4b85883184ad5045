"""
What a verb imports: that, and no clock, makes it feel instant.

On the machine where it was measured Python itself takes 12 ms of processor time, pydantic-settings 130, SQLAlchemy with
Alembic 320, FastAPI 280 (`python -m benchmarks.start_and_verbs` has the verbs' times).
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from command_line import KEY, VERBS

if TYPE_CHECKING:
    from command_line import CommandLine

NO_SETTINGS = {
    "operations": "",
    "audit verify": "data/journal",
}
READING = {
    "upstream list": "",
    "upstream show": "noojee",
    "credential list": "",
    "caller list": "",
    "caller show": "crm",
    "grant list": "crm",
    "token list": "",
    "explain": "crm CallManagementAPI/stop extenOrUniqueId=410",
    "audit tail": "",
    "export-config": "",
    "restart": "",
}
CHANGING = {
    "init": "",
    "upstream add": "other --url https://other.example.com",
    "upstream set": "noojee --auth hash",
    "upstream remove": "noojee",
    "credential add": "spare --upstream noojee --kind global",
    "credential rotate": "everything",
    "credential remove": "maria",
    "caller add": "web",
    "caller set": "crm --rate 20/s",
    "caller disable": "crm",
    "caller enable": "crm",
    "caller remove": "crm",
    "grant add": "crm --credential everything --operations CallManagementAPI/*",
    "grant remove": "00000000000000000000000000000000",
    "token issue": "crm",
    "token rotate": "AAAAAAAAAAAA",
    "token revoke": "AAAAAAAAAAAA",
    "master-key rotate": "",
    "master-key prune": "",
    "apply": "-f gateway.toml",
    "migrate": "",
}
TALKING = {"check": ""}
UNTIL_ENDED = {"serve", "demo", "simulate"}
PLANES = {
    "fastapi",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "httpx2",
    "gateway.control_plane",
    "gateway.data_plane",
    "gateway.simulator.service",
    "gateway.supervisor",
    "gateway.upstream",
}
MIGRATIONS = {"sqlalchemy", "alembic"}
CHANGES = {"gateway.administration.change", "gateway.audit.journal", "gateway.audit.recovery"}
SETTINGS = {"asyncio", "cryptography", "pydantic", "pydantic_settings", "sqlite3", "ssl"}

CODE = """
import sys
from gateway.cli.main import main
code = main(sys.argv[1:])
sys.stdout.flush()
print("imported", *sys.modules, sep="\\n")
sys.exit(0 if code in {1, 2} else code)
"""


def find_imported(cli: CommandLine, line: str) -> set[str]:
    """
    The modules that a process has imported when it has carried a verb out, or refused it.
    """
    done = subprocess.run(
        [sys.executable, "-c", CODE, *line.split()],
        input=KEY,
        capture_output=True,
        text=True,
        cwd=cli.folder,
        # Without coverage in it, which imports sqlite3 itself.
        env={name: value for name, value in cli.environment().items() if not name.startswith("COVERAGE_")},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("\nimported\n")[2].split())


def test_every_verb_is_looked_at() -> None:
    """
    Whoever adds a verb says here what kind it is.
    """
    assert set(VERBS) == {*NO_SETTINGS, *READING, *CHANGING, *TALKING, *UNTIL_ENDED}


@pytest.mark.parametrize("verb", TALKING)
def test_a_verb_that_talks_with_noojee_imports_neither_plane(cli: CommandLine, verb: str) -> None:
    """
    It sends as a worker does, and is none.
    """
    imported = find_imported(cli, f"{verb} {TALKING[verb]}")

    assert "gateway.upstream" in imported
    assert set() == imported & ((PLANES | MIGRATIONS) - {"gateway.upstream", "httptools", "httpx2"})


@pytest.mark.parametrize("verb", NO_SETTINGS)
def test_what_needs_no_settings_imports_nothing_heavy(verb: str, cli: CommandLine) -> None:
    """
    Neither keys nor the registry: such a verb is little slower than Python itself.
    """
    imported = find_imported(cli, f"{verb} {NO_SETTINGS[verb]}")

    assert set() == imported & (PLANES | MIGRATIONS | CHANGES | SETTINGS)


@pytest.mark.parametrize("verb", READING)
def test_what_reads_imports_nothing_of_what_changes_or_serves(verb: str, cli: CommandLine) -> None:
    """
    Settings, keys and the registry's statements; no journal's thread, no SQLAlchemy, no server.
    """
    imported = find_imported(cli, f"{verb} {READING[verb]}")

    assert set() == imported & (PLANES | MIGRATIONS | CHANGES)


@pytest.mark.parametrize("verb", CHANGING)
def test_what_changes_imports_nothing_of_what_serves_or_migrates(verb: str, cli: CommandLine) -> None:
    """
    No SQLAlchemy either: a registry that is up to date is not migrated. `init` alone makes one.
    """
    imported = find_imported(cli, f"{verb} {CHANGING[verb]}")

    assert set() == imported & (PLANES | MIGRATIONS)


def test_a_help_imports_no_dependency_at_all(bare: CommandLine) -> None:
    """
    Nor does a usage error: the whole command line is declared without them.
    """
    for line in ("--help", "token list --help", "serve --help", "caller add"):
        imported = find_imported(bare, line)

        assert set() == imported & (PLANES | MIGRATIONS | CHANGES | SETTINGS)


def test_a_verb_is_declared_without_the_others(bare: CommandLine) -> None:
    """
    To declare all of them takes longer than some verbs do.
    """
    imported = find_imported(bare, "token list --help")

    assert {"gateway.cli.token"} == imported & {"gateway.cli.token", "gateway.cli.caller", "gateway.cli.audit"}
