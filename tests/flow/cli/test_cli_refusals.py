"""
What keeps a verb or `serve` from starting: each told through the process, with a sentence that says what to do.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from command_line import CommandLine

SERVE = "serve --json"
VERBS = ("caller list --json", SERVE)


def refuse(cli: CommandLine, reason: str, *told: str, verbs: tuple[str, ...] = VERBS, **settings: str) -> None:
    """
    Check that each verb exits 1 with this reason and tells these words.
    """
    for verb in verbs:
        run = cli.spawn if verb == SERVE else cli.run
        done = run(verb, **{"port": "0", "admin_port": "0", **settings})

        assert (1, reason) == (done.code, done.error["reason"]), done
        assert [] == [words for words in told if words not in done.error["detail"]], done.error["detail"]


def test_a_missing_data_folder_is_not_made(bare: CommandLine) -> None:
    """
    Only `init` makes one: a wrong GATEWAY_DATA_DIR must not start an empty gateway.
    """
    refuse(bare, "data_dir_unusable", f"{bare.data_dir} does not exist", "noojee-gateway init", "GATEWAY_DATA_DIR")
    (bare.folder / "file").touch()
    refuse(bare, "data_dir_unusable", "is not a folder", verbs=VERBS[:1], data_dir="file")

    assert not bare.data_dir.exists()


def test_a_folder_of_another_user_is_refused(cli: CommandLine) -> None:
    """
    A verb as root would leave files that the service cannot write; the sentence names the command that helps.
    """
    if os.geteuid() == 0:
        os.chown(cli.data_dir, 65_534, -1)
        refuse(cli, "data_dir_unusable", "belongs to", "sudo -u ", " noojee-gateway")
    else:
        refuse(cli, "data_dir_unusable", "belongs to root", "sudo chown -R ", data_dir="/usr")


@pytest.mark.parametrize("name", ["master.key", "audit.key"])
def test_a_key_that_others_can_read_is_refused(cli: CommandLine, name: str) -> None:
    """
    Whoever can read the keys and the registry can open everything.
    """
    (cli.data_dir / name).chmod(0o640)

    refuse(cli, "key_file_unsafe", f"chmod 600 {cli.data_dir / name}")


def test_a_missing_or_wrong_master_key_is_refused(cli: CommandLine) -> None:
    """
    Nothing opens with another key, and no new one is made.
    """
    key_file = cli.data_dir / "master.key"
    (cli.folder / "aside").write_bytes(key_file.read_bytes())
    key_file.unlink()
    refuse(cli, "master_key_unusable")
    key_file.write_text("1 " + "A" * 43 + "=\n")
    key_file.chmod(0o600)
    refuse(cli, "master_key_unusable")
    key_file.write_text("nonsense\n")
    refuse(cli, "master_key_unusable", verbs=VERBS[:1])
    again = cli.run("caller list --json", master_key_file=_make_private(cli, "aside"))

    assert ["crm"] == [row["name"] for row in again.value]


def test_a_schema_from_the_future_is_refused(cli: CommandLine) -> None:
    """
    An older gateway must not write to a registry that a newer one made.
    """
    with sqlite3.connect(cli.data_dir / "gateway.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()

    refuse(cli, "schema_unknown")


def test_serving_beyond_loopback_in_plain_text_is_refused(cli: CommandLine) -> None:
    """
    Either port; verbs do not care, since they do not listen.
    """
    anywhere = "0.0.0.0"  # noqa: S104 - it is refused
    refuse(cli, "plaintext_refused", "GATEWAY_HOST", "GATEWAY_TLS_CERT_FILE", verbs=(SERVE,), host=anywhere)
    refuse(cli, "plaintext_refused", "GATEWAY_ADMIN_HOST", verbs=(SERVE,), admin_host=anywhere)

    assert 0 == cli.run("caller list", host=anywhere).code


def test_tls_files_that_cannot_serve_are_refused(cli: CommandLine) -> None:
    """
    One of two, or one that is not there.
    """
    refuse(cli, "tls_unusable", "Set both TLS files", verbs=(SERVE,), tls_cert_file="cert.pem")
    refuse(
        cli,
        "tls_unusable",
        "cert.pem cannot be read",
        verbs=(SERVE,),
        tls_cert_file="cert.pem",
        tls_key_file="key.pem",
    )


def test_a_run_folder_with_too_long_a_path_is_refused(cli: CommandLine) -> None:
    """
    Verbs could never reach such a gateway.
    """
    refuse(cli, "settings_invalid", "GATEWAY_RUN_DIR", verbs=(SERVE,), run_dir="/tmp/" + "x" * 100)  # noqa: S108 - it is not made


def test_a_second_serve_on_one_data_folder_is_refused(cli: CommandLine) -> None:
    """
    The first keeps serving, and once it has ended another may start.
    """
    words = [sys.executable, "-m", "gateway", "serve"]
    settings = {"GATEWAY_PORT": "0", "GATEWAY_ADMIN_PORT": "0", "GATEWAY_RUN_DIR": str(cli.folder / "r")}
    with subprocess.Popen(
        words, cwd=cli.folder, env=cli.environment(settings), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as first:
        assert first.stdout is not None
        ready = first.stdout.readline()
        refuse(cli, "already_running", "Stop it first", verbs=(SERVE,))
        first.terminate()
        code = first.wait(20)

    assert ready.startswith(b"ready callers=http://127.0.0.1:")
    assert 0 == code


def test_audit_verify_is_exempt_from_all_of_it(cli: CommandLine) -> None:
    """
    An auditor's copy belongs to another user, has no keys and no settings.
    """
    (cli.data_dir / "master.key").unlink()
    (cli.data_dir / "audit.key").chmod(0o644)
    if os.geteuid() == 0:
        os.chown(cli.data_dir, 65_534, -1)

    assert 0 == cli.run("audit verify", nonsense="1", data_dir=str(cli.data_dir)).code


def _make_private(cli: CommandLine, name: str) -> str:
    (cli.folder / name).chmod(0o600)
    return str(cli.folder / name)


def test_a_journal_that_may_not_be_entered_is_told(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A sentence that says what to do, and exit 1. The system's answer is injected: tests may be root, who enters all.
    """

    def refuse_entry(_path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "is_dir", refuse_entry)
    done = cli.run("audit verify --json", str(cli.data_dir / "journal"))

    assert (1, "journal_unavailable") == (done.code, done.error["reason"])
    assert "cannot be read: Permission denied. Be a user who may read it." in done.error["detail"]


def test_closed_streams_are_told(cli: CommandLine) -> None:
    """
    Nothing to read is an empty key; nothing to write to is refused before anything is done; a full one is told.
    """
    program = f"{sys.executable} -m gateway"
    lines = {
        f"{program} credential add x --upstream noojee --kind global --json <&-": (1, "invalid", "was empty"),
        f"{program} caller add closed --json >&-": (1, "invalid", "Nothing was done"),
        f"{program} caller add full --json >/dev/full": (1, "invalid", "was carried out"),
    }
    for line, (code, reason, told) in lines.items():
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            capture_output=True,
            text=True,
            cwd=cli.folder,
            env=cli.environment(),
            timeout=60,
            check=False,
        )
        error = json.loads(done.stderr)["error"]

        assert (code, reason) == (done.returncode, error["reason"]), line
        assert told in error["detail"]
    names = [each["name"] for each in cli.run("caller list --json").value]
    assert ("full" in names, "closed" in names) == (True, False)


@pytest.mark.parametrize("verb", ["serve", "demo", "simulate"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_ended_while_it_starts_ends_with_0(cli: CommandLine, verb: str, number: signal.Signals) -> None:
    """
    At any moment from its first own step on, whatever it has loaded by then.
    """
    settings = {"GATEWAY_PORT": "0", "GATEWAY_ADMIN_PORT": "0", "GATEWAY_RUN_DIR": str(cli.folder / "r")}
    for seconds in (0.12, 0.25, 0.5, 1.0):
        with subprocess.Popen(
            [sys.executable, "-c", _START, verb],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cli.folder,
            env=cli.environment(settings),
        ) as process:
            assert process.stdout is not None
            assert b"begins\n" == process.stdout.readline()
            time.sleep(seconds)
            process.send_signal(number)
            _, told = process.communicate(timeout=60)

        assert (0, False) == (process.returncode, b"Traceback" in told), seconds


_START = """
import sys
import gateway.cli.main
print("begins", flush=True)
sys.exit(gateway.cli.main.main())
"""
