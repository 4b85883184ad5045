"""
Which settings come into force while a gateway runs, and by what.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.settings import in_force
from gateway.settings.in_force import Means, find_means, parse_settings, render_settings, renew
from gateway.settings.model import Settings

PRESENT = Settings(data_dir=Path("/data"), node="one")


def test_the_tables_name_settings_and_each_once() -> None:
    """
    A setting that none of them names takes a start, which is the safe case.
    """
    assert set(Settings.model_fields) >= in_force._RELOADED | in_force._WITH_A_NEW_WORKER
    assert set() == in_force._RELOADED & in_force._WITH_A_NEW_WORKER
    assert Means.START is find_means("data_dir")


def test_settings_pass_between_processes_as_they_are() -> None:
    """
    parse(render(x)) == x, also for what no text of a setting could say.
    """
    for settings in (
        PRESENT,
        Settings(
            data_dir=Path("/d x/\u00e9"),
            node="two",
            tls_cert_file=Path("/c"),
            tls_key_file=Path("/k"),
            allow_plaintext=True,
            trusted_proxies="10.0.0.0/8, fd00::/8",
            journal_reserve=64 * 1024,
            drain_timeout=timedelta(milliseconds=50),
            probe_interval=timedelta(0),
        ),
    ):
        assert settings == parse_settings(render_settings(settings))


@pytest.mark.parametrize(
    ("is_restart", "applied", "kept"),
    [
        (
            False,
            ["GATEWAY_LOG_LEVEL"],
            {"GATEWAY_PORT": Means.START, "GATEWAY_REPLY_TIMEOUT": Means.RESTART},
        ),
        (True, ["GATEWAY_LOG_LEVEL", "GATEWAY_REPLY_TIMEOUT"], {"GATEWAY_PORT": Means.START}),
    ],
)
def test_what_may_change_now_changes_and_the_rest_is_named(
    is_restart: bool,  # noqa: FBT001 - the table's column
    applied: list[str],
    kept: dict[str, Means],
) -> None:
    """
    And the rest stays exactly as it was.
    """
    found = PRESENT.model_copy(update={"log_level": "debug", "port": 1, "reply_timeout": timedelta(seconds=9)})

    renewed = renew(PRESENT, found, is_restart=is_restart)

    assert (applied, kept) == (renewed.applied, renewed.kept)
    assert ("debug", 8080) == (renewed.settings.log_level, renewed.settings.port)
    assert timedelta(seconds=9 if is_restart else 30) == renewed.settings.reply_timeout


def test_tls_files_may_be_others_but_not_come_or_go() -> None:
    """
    Callers use one scheme or the other.
    """
    plain, files = PRESENT, {"tls_cert_file": Path("/c"), "tls_key_file": Path("/k")}
    secure = PRESENT.model_copy(update=files)
    other = secure.model_copy(update={"tls_cert_file": Path("/other")})

    assert ["GATEWAY_TLS_CERT_FILE"] == renew(secure, other, is_restart=False).applied
    for before, after in ((plain, secure), (secure, plain)):
        for is_restart in (False, True):
            renewed = renew(before, after, is_restart=is_restart)

            assert before == renewed.settings
            assert {"GATEWAY_TLS_CERT_FILE": Means.START, "GATEWAY_TLS_KEY_FILE": Means.START} == renewed.kept
