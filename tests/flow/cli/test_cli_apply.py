"""
`apply` with its document on standard input, as transcripts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from command_line import KEY

if TYPE_CHECKING:
    from command_line import CommandLine

SALES = """
[[callers]]
name = "sales"
networks = "anywhere"
"""
MORE = """
[[credentials]]
name = "bob"
upstream = "noojee"
kind = "user"
owner = "bob"
"""


def test_a_document_comes_from_standard_input(cli: CommandLine) -> None:
    """
    As a file of the same text would: what is exported is applied again, and something more is added.
    """
    exported = cli.run("export-config").out
    nothing = cli.run("apply -f -", stdin=exported)
    planned = cli.run("apply -f - --dry-run", stdin=exported + SALES)
    made = cli.run("apply -f - --json", stdin=exported + SALES)

    assert (0, "nothing to do\n") == (nothing.code, nothing.out)
    assert planned.out.startswith("+ caller sales: ")
    assert planned.out.endswith("1 change planned, none made\n")
    assert [("add", "caller", "sales")] == [
        (each["action"], each["what"], each["name"]) for each in made.value["changes"]
    ]
    assert "sales" in cli.run("caller list").out


def test_a_format_says_how_a_document_is_read(cli: CommandLine) -> None:
    """
    TOML on standard input unless it says something else, and before what a file is called.
    """
    exported = cli.run("export-config --format yaml").out
    (cli.folder / "document.txt").write_text(exported)
    runs = [
        cli.run("apply -f - --format yaml", stdin=exported),
        cli.run("apply -f document.txt --format yaml"),
        cli.run("apply -f -", stdin=exported),
        cli.run("apply -f document.txt"),
        cli.run("apply -f - --format json", stdin="{}"),
    ]

    assert [0, 0, 1, 1, 2] == [each.code for each in runs]
    assert "The document on standard input is not TOML" in runs[2].err
    assert "--format must say it" in runs[3].err


def test_paths_of_a_document_on_standard_input_are_seen_from_the_working_folder(cli: CommandLine) -> None:
    """
    For there is no folder that it would be in.
    """
    key_file = cli.folder / "bob.key"
    key_file.write_text(KEY)
    key_file.chmod(0o600)
    document = f'{cli.run("export-config").out}{MORE}key_file = "bob.key"\n'
    done = cli.spawn("apply -f -", stdin=document)

    assert (0, "") == (done.code, done.err)
    assert "+ credential bob: " in done.out


@pytest.mark.parametrize("form", ["", " --json"])
def test_keys_cannot_come_where_the_document_has_come_from(cli: CommandLine, form: str) -> None:
    """
    Refused before anything is shown or changed, and the plan alone can be had; a key that is held is not wanted.
    """
    document = f'{cli.run("export-config").out}{MORE}key = "stdin"\n'
    refused = cli.run(f"apply -f -{form}", stdin=document)
    planned = cli.run(f"apply -f - --dry-run{form}", stdin=document)

    assert (1, "") == (refused.code, refused.out)
    assert "is to hold what is needed for bob, too." in refused.err
    assert 0 == planned.code
    assert "bob" not in cli.run("credential list").out


def test_a_document_of_standard_input_has_the_same_bound(cli: CommandLine) -> None:
    """
    4 MiB, and none of it is repeated.
    """
    done = cli.run("apply -f - --json", stdin=b"#" * (4 * 1024 * 1024 + 1))
    torn = cli.run("apply -f - --json", stdin=b"\xff" + KEY.encode())

    assert "The document on standard input is larger than 4 MiB." == done.error["detail"]
    assert "The document on standard input is not UTF-8." == torn.error["detail"]
