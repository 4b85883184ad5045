"""
Settings as an operator meets them: where a value comes from, and what a wrong one gets.
"""

from __future__ import annotations

import os
import traceback
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.errors import OperatorError, OperatorReason
from gateway.settings.config_file import find_data_dir
from gateway.settings.model import Settings
from gateway.settings.sources import load_settings, read_secret_file

MARKED = "njg_marked_7f3a"
"""
A value that must not turn up in any error.
"""


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refuse(**environment: str) -> str:
    """
    The detail with which loading is refused under this environment; checks that no value shows anywhere in the error.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(OperatorError) as caught:
            load_settings()
    shown = "".join(traceback.format_exception(caught.value))

    assert OperatorReason.SETTINGS_INVALID is caught.value.reason
    assert MARKED not in shown
    return caught.value.detail


def test_nothing_set_gives_the_documented_defaults(tmp_path: Path) -> None:
    """
    Without a variable and without a file the contract's defaults hold, and paths are absolute.
    """
    settings = load_settings()

    assert tmp_path / "data" == settings.data_dir
    assert tmp_path / "data" / "run" == settings.run_dir
    assert tmp_path / "data" / "master.key" == settings.master_key_file
    assert ("127.0.0.1", 8080, "127.0.0.1", 8081) == (
        settings.host,
        settings.port,
        settings.admin_host,
        settings.admin_port,
    )
    assert not settings.allow_plaintext
    assert timedelta(seconds=75) == settings.lead_reply_timeout


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Environment, then the TOML file named by GATEWAY_CONFIG, then the default.
    """
    (tmp_path / "gateway.toml").write_text('port = 1111\nadmin_port = 2222\ncall_timeout = "5m"\n')
    monkeypatch.setenv("GATEWAY_CONFIG", "gateway.toml")
    monkeypatch.setenv("GATEWAY_PORT", "3333")

    settings = load_settings()

    assert (3333, 2222, "127.0.0.1") == (settings.port, settings.admin_port, settings.host)
    assert timedelta(minutes=5) == settings.call_timeout


def test_folders_that_follow_from_the_data_folder_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The run folder and the master key are looked for in the data folder that was set.
    """
    monkeypatch.setenv("GATEWAY_DATA_DIR", "/var/lib/noojee-gateway")

    settings = load_settings()

    assert Path("/var/lib/noojee-gateway/run") == settings.run_dir
    assert Path("/var/lib/noojee-gateway/master.key") == settings.master_key_file


def test_the_master_key_is_found_in_the_credentials_directory_unless_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    GATEWAY_MASTER_KEY_FILE, else $CREDENTIALS_DIRECTORY/master.key when it is there, else <data>/master.key.
    """
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    absent = load_settings().master_key_file
    (tmp_path / "master.key").touch()
    found = load_settings().master_key_file
    monkeypatch.setenv("GATEWAY_MASTER_KEY_FILE", "/etc/noojee/master.key")
    named = load_settings().master_key_file

    assert [tmp_path / "data/master.key", tmp_path / "master.key", Path("/etc/noojee/master.key")] == [
        absent,
        found,
        named,
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("GATEWAY_PORT", "99999", "GATEWAY_PORT: must be less than or equal to 65535."),
        ("GATEWAY_PORT", MARKED, "GATEWAY_PORT: must be a whole number."),
        ("GATEWAY_PORT", "\uff14\uff11\uff10", "GATEWAY_PORT: must be a whole number."),
        ("GATEWAY_PORT", " 80", "GATEWAY_PORT: must be a whole number."),
        ("GATEWAY_PORT", "", "GATEWAY_PORT: must be a whole number."),
        (
            "GATEWAY_TRUSTED_PROXIES",
            "",
            "GATEWAY_TRUSTED_PROXIES: must be networks without host bits, as in 10.0.0.0/8, with commas between them.",
        ),
        *(
            (
                "GATEWAY_TRUSTED_PROXIES",
                f"10.0.0.0/8,{everybody}",
                "GATEWAY_TRUSTED_PROXIES: must not be every address, or any caller may say where it calls from.",
            )
            for everybody in ("0.0.0.0/0", "::/0")
        ),
        ("GATEWAY_DATA_DIR", "", "GATEWAY_DATA_DIR: must be a path and not empty."),
        ("GATEWAY_HOST", MARKED, "GATEWAY_HOST: must be an IP address, as in 127.0.0.1 or 0.0.0.0."),
        ("GATEWAY_ALLOW_PLAINTEXT", "true", "GATEWAY_ALLOW_PLAINTEXT: must be exactly yes, or not set."),
        ("GATEWAY_ALLOW_PLAINTEXT", "no", "GATEWAY_ALLOW_PLAINTEXT: must be exactly yes, or not set."),
        ("GATEWAY_LOG_LEVEL", MARKED, "GATEWAY_LOG_LEVEL: must be 'debug', 'info', 'warning' or 'error'."),
        ("GATEWAY_CALL_TIMEOUT", "10", "GATEWAY_CALL_TIMEOUT: write a whole number and s, m, h or d, as in 30s"),
        ("GATEWAY_CALL_TIMEOUT", "0s", "GATEWAY_CALL_TIMEOUT: must be more than 0s and at most 1d."),
        ("GATEWAY_CALL_TIMEOUT", "2d", "GATEWAY_CALL_TIMEOUT: must be more than 0s and at most 1d."),
        ("GATEWAY_SNAPSHOT_MAX_AGE", "4s", "GATEWAY_SNAPSHOT_MAX_AGE: must be at least 5s and at most 30d."),
        ("GATEWAY_SNAPSHOT_MAX_AGE", "31d", "GATEWAY_SNAPSHOT_MAX_AGE: must be at least 5s and at most 30d."),
        ("GATEWAY_HASH_PAIR_LIFETIME", "9s", "GATEWAY_HASH_PAIR_LIFETIME: must be at least 10s and at most 1h."),
        ("GATEWAY_HASH_PAIR_LIFETIME", "61m", "GATEWAY_HASH_PAIR_LIFETIME: must be at least 10s and at most 1h."),
        (
            "GATEWAY_BODY_MEMORY",
            "4095KiB",
            "GATEWAY_BODY_MEMORY: must be text, a whole number and KiB, MiB or GiB, from 4MiB to 16GiB.",
        ),
        ("GATEWAY_BODY_MEMORY", "17GiB", "GATEWAY_BODY_MEMORY: must be text, a whole number and KiB, MiB or GiB, from"),
        ("GATEWAY_BODY_MEMORY", "256MB", "GATEWAY_BODY_MEMORY: write a whole number and KiB, MiB or GiB, as in 512KiB"),
        ("GATEWAY_PROBE_INTERVAL", "2d", "GATEWAY_PROBE_INTERVAL: must be at least 1s and at most 1d, or off."),
        ("GATEWAY_LOG_CALLS", "yes", "GATEWAY_LOG_CALLS: must be true or false."),
        ("GATEWAY_LOG_FORMAT", MARKED, "GATEWAY_LOG_FORMAT: must be 'human' or 'json'."),
        ("GATEWAY_NUMBER_COUNTRY", "+61", "GATEWAY_NUMBER_COUNTRY: must be a country calling code"),
        ("GATEWAY_NODE", MARKED + " x", "GATEWAY_NODE: must be a name of ASCII letters"),
    ],
)
def test_a_wrong_value_is_refused_without_being_shown(name: str, value: str, expected: str) -> None:
    """
    The sentence names the setting and what it must be, never what it was.
    """
    assert refuse(**{name: value}).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("off", timedelta(0)), ("0", timedelta(0)), ("0s", timedelta(0)), ("90s", timedelta(seconds=90))],
)
def test_the_probes_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, text: str, expected: timedelta) -> None:
    """
    By a word, or by no time at all.
    """
    monkeypatch.setenv("GATEWAY_PROBE_INTERVAL", text)

    assert expected == load_settings().probe_interval


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("false", False)])
def test_calls_are_logged_when_it_says_so(monkeypatch: pytest.MonkeyPatch, text: str, *, expected: bool) -> None:
    """
    Two words, and no third.
    """
    monkeypatch.setenv("GATEWAY_LOG_CALLS", text)

    assert expected is load_settings().log_calls


def test_every_wrong_setting_is_told_at_once_and_nothing_that_only_follows() -> None:
    """
    An operator corrects a file once; a default that could not be computed from a wrong value is no second error.
    """
    detail = refuse(GATEWAY_DATA_DIR="", GATEWAY_PORT=MARKED)

    assert "GATEWAY_DATA_DIR: must be a path and not empty; GATEWAY_PORT: must be a whole number." == detail


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("GATEWAY_DATADIR", "did you mean GATEWAY_DATA_DIR?"),
        ("gateway_port", "did you mean GATEWAY_PORT?"),
        ("GATEWAY_PORT_FILE", "did you mean GATEWAY_PORT?"),
        ("GATEWAY_ZZZZZZZZZ", "unset it, or see docs/settings.md"),
    ],
)
def test_an_unknown_variable_is_refused(name: str, advice: str) -> None:
    """
    A misspelt name would leave a default in force without a word. `_FILE` is for secret settings only.
    """
    assert f"{name} is no setting; {advice}" == refuse(**{name: MARKED}).removesuffix(".")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_PORT", "tcp://10.96.0.12:80"),
        ("GATEWAY_SERVICE_HOST", "10.96.0.12"),
        ("GATEWAY_SERVICE_PORT", "80"),
        ("GATEWAY_SERVICE_PORT_HTTP", "80"),
        ("GATEWAY_PORT_80_TCP", "tcp://10.96.0.12:80"),
        ("GATEWAY_PORT_80_TCP_ADDR", "10.96.0.12"),
        ("GATEWAY_ADMIN_PORT", "tcp://10.96.0.13:81"),
        ("GATEWAY_ADMIN_SERVICE_HOST", "10.96.0.13"),
    ],
)
def test_service_links_of_kubernetes_are_told_as_such(name: str, value: str) -> None:
    """
    What Kubernetes injects for a Service named gateway is refused with the line of the pod's spec that helps.
    """
    detail = refuse(**{name: value})

    assert detail.startswith(f"{name} came from Kubernetes")
    assert "enableServiceLinks: false" in detail
    assert value not in detail


def test_paths_that_end_in_file_are_settings_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    GATEWAY_TLS_CERT_FILE, GATEWAY_TLS_KEY_FILE and GATEWAY_MASTER_KEY_FILE are paths, not the `_FILE` of another.
    """
    for name in ("TLS_CERT_FILE", "TLS_KEY_FILE", "MASTER_KEY_FILE"):
        monkeypatch.setenv(f"GATEWAY_{name}", f"/etc/{name}")

    settings = load_settings()

    assert (Path("/etc/TLS_CERT_FILE"), Path("/etc/TLS_KEY_FILE"), Path("/etc/MASTER_KEY_FILE")) == (
        settings.tls_cert_file,
        settings.tls_key_file,
        settings.master_key_file,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prot = 1\n", "`prot` in the file named by GATEWAY_CONFIG is no setting; did you mean port?"),
        ("[gateway]\nport = 1\n", "`gateway` in the file named by GATEWAY_CONFIG is no setting; take it out"),
        ("port = true\n", "`port` in the file named by GATEWAY_CONFIG: must be a whole number."),
        ("port = 1.5\n", "`port` in the file named by GATEWAY_CONFIG: must be a whole number."),
        ("call_timeout = 30\n", "`call_timeout` in the file named by GATEWAY_CONFIG: must be text: a whole number"),
        ("data_dir = 3\n", "`data_dir` in the file named by GATEWAY_CONFIG: must be a path and not empty."),
        ("log_calls = []\n", "`log_calls` in the file named by GATEWAY_CONFIG: must be true or false."),
        ("probe_interval = {}\n", "`probe_interval` in the file named by GATEWAY_CONFIG: must be text: a whole number"),
        ("allow_plaintext = 'true'\n", "`allow_plaintext` in the file named by GATEWAY_CONFIG: must be exactly yes"),
        ("config = 'x'\n", "`config` stands in the file named by GATEWAY_CONFIG, which names no other file"),
        (f"port = {MARKED}\n", "is not TOML, at line 1, column 8."),
        (f"{MARKED}", "is not TOML, at end of document."),
    ],
)
def test_a_wrong_file_is_refused_without_showing_its_text(tmp_path: Path, text: str, expected: str) -> None:
    """
    The file is as strict as the environment; a place in it is named, never what stands there.
    """
    (tmp_path / "gateway.toml").write_text(text)

    assert expected in refuse(GATEWAY_CONFIG=str(tmp_path / "gateway.toml"))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """
    A file that was named must be there and be UTF-8.
    """
    (tmp_path / "latin.toml").write_bytes(b"node = '\xe9'\n")

    assert "cannot be read: No such file or directory" in refuse(GATEWAY_CONFIG="absent.toml")
    assert "is not UTF-8" in refuse(GATEWAY_CONFIG="latin.toml")
    assert "GATEWAY_CONFIG: must be a path and not empty." == refuse(GATEWAY_CONFIG="")


def test_a_default_that_cannot_serve_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A host name that is no name for a node is to be replaced by setting GATEWAY_NODE, not by looking into the file.
    """
    (tmp_path / "gateway.toml").write_text("port = 1\n")
    monkeypatch.setattr("socket.gethostname", lambda: "-odd-")

    assert refuse(GATEWAY_CONFIG="gateway.toml").startswith("GATEWAY_NODE: must be a name")


def test_no_env_file_is_read(tmp_path: Path) -> None:
    """
    Nothing is read that nobody named.
    """
    (tmp_path / ".env").write_text("GATEWAY_PORT=1\n")

    assert 8080 == load_settings().port


def test_settings_built_from_values_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The demo and tests build settings without anything from outside.
    """
    monkeypatch.setenv("GATEWAY_PORT", "1")

    settings = Settings(data_dir=Path("/x"), drain_timeout=timedelta(milliseconds=50), host="localhost")

    assert (8080, "127.0.0.1", Path("/x/run")) == (settings.port, settings.host, settings.run_dir)


def test_a_secret_setting_is_read_from_its_file_and_only_one_form_is_taken(tmp_path: Path) -> None:
    """
    `GATEWAY_X_FILE` for a secret setting: one trailing newline is dropped, both forms or an empty file are refused.
    """
    path = tmp_path / "secret"
    path.write_text(f"{MARKED}\n")
    found = read_secret_file("thing", {"GATEWAY_THING_FILE": str(path)})
    refusals = []
    for environment in (
        {"GATEWAY_THING_FILE": str(path), "GATEWAY_THING": MARKED},
        {"GATEWAY_THING_FILE": str(tmp_path / "absent")},
        {"GATEWAY_THING_FILE": os.devnull},
    ):
        with pytest.raises(OperatorError) as caught:
            read_secret_file("thing", environment)
        refusals.append(caught.value.detail)

    assert found is not None
    assert MARKED == found.reveal()
    assert read_secret_file("thing", {}) is None
    assert "GATEWAY_THING and GATEWAY_THING_FILE are both set: unset one of them." == refusals[0]
    assert "cannot be read" in refusals[1]
    assert "is empty" in refusals[2]


@pytest.mark.parametrize(
    ("environment", "toml", "expected"),
    [
        ({}, "", "data"),
        ({"GATEWAY_DATA_DIR": "/a"}, "data_dir = '/b'", "/a"),
        ({"GATEWAY_CONFIG": "c.toml"}, "data_dir = '/b'\nnonsense = 1", "/b"),
        ({"GATEWAY_CONFIG": "c.toml"}, "not toml", "data"),
        ({"GATEWAY_CONFIG": "c.toml"}, "data_dir = 3", "data"),
        ({"GATEWAY_CONFIG": "absent.toml", "GATEWAY_NONSENSE": "1"}, "", "data"),
    ],
)
def test_the_data_folder_is_found_where_other_settings_are_wrong(
    tmp_path: Path, environment: dict[str, str], toml: str, expected: str
) -> None:
    """
    `audit verify` needs the data folder's place and nothing else.
    """
    (tmp_path / "c.toml").write_text(toml)

    assert tmp_path / expected == find_data_dir(environment)
