"""
Rotating as an operator types it.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest
from admin_office import Listener
from command_line import KEY

from gateway.cli.main import create_parser
from gateway.cli.parser import UsageError

if TYPE_CHECKING:
    from command_line import CommandLine

NEW_KEY = "1a8fad5b-d9cb-469f-a165-708677289abc"


def test_a_credential_is_rotated_by_a_key_on_standard_input(cli: CommandLine) -> None:
    """
    A sentence, or the credential as `list` shows it; neither key is in what is printed.
    """
    plain = cli.run("credential rotate maria", stdin=f"{NEW_KEY}\n")
    again = cli.run("credential rotate maria", stdin=NEW_KEY)
    shown = cli.run("credential rotate maria --json", stdin=KEY)
    empty = cli.run("credential rotate maria --json", stdin="")
    wrong = cli.run("credential rotate maria --json", stdin="not a key")

    assert (0, "credential maria rotated\n", "") == (plain.code, plain.out, plain.err)
    assert (0, "credential maria holds that key already\n") == (again.code, again.out)
    assert {
        "name": "maria",
        "upstream": "noojee",
        "kind": "user",
        "owner": "maria",
        "state": "active",
        "rotated": True,
    } == shown.value
    assert ["invalid", "invalid"] == [each.error["reason"] for each in (empty, wrong)]
    assert not any(key in each.out + each.err for key in (KEY, NEW_KEY) for each in (plain, again, shown))


def test_a_token_is_rotated_and_printed_alone(cli: CommandLine) -> None:
    """
    Plain: the token and nothing else. With --json what `issue` tells, and which token it replaces until when.
    """
    first = cli.run("token issue crm --expires 90d --json").value
    second = cli.run(f"token rotate {first['token_id']}")
    second_id = second.out.split("_")[1]
    third = cli.run(f"token rotate {second_id} --overlap 0s --json").value
    ended = cli.run(f"token rotate {second_id} --json")
    states = {row["token_id"]: row["state"] for row in cli.run("token list crm --json").value}

    assert re.fullmatch(r"njg_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}\n", second.out)
    assert ["token_id", "caller", "token", "expires_at", "replaces", "old_expires_at"] == list(third)
    assert (second_id, "crm", third["token"].split("_")[1]) == (third["replaces"], third["caller"], third["token_id"])
    assert {first["token_id"]: "active", second_id: "revoked", third["token_id"]: "active"} == states
    assert (1, "invalid") == (ended.code, ended.error["reason"])


def test_a_silent_worker_does_not_cost_the_new_token(
    cli: CommandLine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    It is printed all the same; exit 1 and a sentence say what is left to do.
    """
    run_dir = tmp_path_factory.mktemp("r")
    old = cli.run("token issue crm").out.split("_")[1]
    answers = iter([True])
    listener = Listener(run_dir / "worker-0.sock", lambda line: line if next(answers, False) else None)
    rotated = cli.run(f"token rotate {old} --overlap 0s", run_dir=str(run_dir))
    listener.close()

    assert (1, "njg_") == (rotated.code, rotated.out[:4])
    assert f"`noojee-gateway token revoke {old}`" in rotated.err
    assert {old: "revoked", rotated.out.split("_")[1]: "active"} == {
        row["token_id"]: row["state"] for row in cli.run("token list crm --json").value
    }


@pytest.mark.parametrize("overlap", ["", "24", "-1h", "forever"])
def test_an_overlap_that_is_no_duration_is_a_usage_error(overlap: str) -> None:
    """
    And is not repeated.
    """
    with pytest.raises(UsageError) as caught:
        create_parser().parse_command(["token", "rotate", "0123456789ab", f"--overlap={overlap}"])

    assert "Argument --overlap: write a whole number" in caught.value.detail


def test_the_master_key_is_rotated_and_pruned(cli: CommandLine) -> None:
    """
    Sentences for people, numbers for scripts, and everything works on behind it.
    """
    rotated = cli.run("master-key rotate")
    pruned = cli.run("master-key prune")
    nothing = cli.run("master-key prune")
    values = [cli.run(f"master-key {verb} --json").value for verb in ("rotate", "prune", "prune")]
    issued = cli.run("token issue crm")

    assert "everything is sealed under version 2 of the master key\n" == rotated.out
    assert "version 2 is the only one left\n" == pruned.out
    assert "nothing to prune\n" == nothing.out
    assert [
        {"version": 3, "versions": [2, 3], "credentials": 2},
        {"version": 3, "removed": [2]},
        {"version": 3, "removed": []},
    ] == values
    assert (0, "") == (issued.code, issued.err)


def test_a_ring_among_the_credentials_of_a_unit_is_refused(cli: CommandLine) -> None:
    """
    Found and named by `CREDENTIALS_DIRECTORY`, as systemd sets it.
    """
    folder = cli.folder / "credentials"
    folder.mkdir(mode=0o700)
    shutil.move(cli.data_dir / "master.key", folder / "master.key")
    environment = cli.environment
    cli.environment = lambda extra=None: environment(extra) | {"CREDENTIALS_DIRECTORY": str(folder)}  # type: ignore[method-assign]  # as in a unit
    before = (folder / "master.key").read_bytes()
    refused = cli.run("master-key rotate --json")

    assert (1, "key_file_read_only") == (refused.code, refused.error["reason"])
    assert "is a credential of systemd" in refused.error["detail"]
    assert before == (folder / "master.key").read_bytes()
