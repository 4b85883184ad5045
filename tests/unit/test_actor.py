"""
Whom the journal names for a change.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gateway.administration.actor import find_actor, find_operator_uid

if TYPE_CHECKING:
    from pathlib import Path


def test_the_actor_is_the_effective_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By name, by number where there is none.
    """
    monkeypatch.setattr(os, "geteuid", lambda: 3_999_999_999)

    assert "uid:3999999999" == find_actor()


@pytest.mark.parametrize(
    "line",
    ["0::/system.slice/run-u2.service", "1:name=systemd:/system.slice/run-u2.service"],
)
def test_the_actor_tells_who_called_the_services_command(line: str, tmp_path: Path) -> None:
    """
    From the credential of the unit that the process is in, whichever hierarchy of groups systemd uses.
    """
    (tmp_path / "cgroup").write_text(f"9:memory:/system.slice\n{line}\n")
    (tmp_path / "run-u2.service").mkdir()
    (tmp_path / "run-u2.service" / "operator").write_text("1000")

    assert 1000 == find_operator_uid(tmp_path / "cgroup", tmp_path)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0::/", "1000"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-u2.service", "1000"),
        ("0::/system.slice/docker-1.scope/system.slice/run-u2.service", "1000"),
        ("0::/system.slice/run-u2.service/../run-u2.service", "1000"),
        ("0::/system.slice/run-u3.service", "1000"),
        ("5:cpu:/system.slice/run-u2.service", "1000"),
        ("0::/system.slice/run-u2.service", ""),
        ("0::/system.slice/run-u2.service", "alice"),
        ("0::/system.slice/run-u2.service", "-1"),
        ("0::/system.slice/run-u2.service", "1000\nalice"),
        ("0::/system.slice/run-u2.service", "\N{SUPERSCRIPT TWO}"),
    ],
)
def test_nobody_but_root_can_say_who_called(
    line: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A unit of a user's own systemd, another's unit, a folder that the environment names: none of them is believed.
    """
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "run-u2.service"))
    monkeypatch.setenv("SUDO_UID", "1000")
    (tmp_path / "cgroup").write_text(f"{line}\n")
    (tmp_path / "run-u2.service").mkdir()
    (tmp_path / "run-u2.service" / "operator").write_text(told)

    assert find_operator_uid(tmp_path / "cgroup", tmp_path) is None
    assert find_operator_uid(tmp_path / "no", tmp_path) is None
