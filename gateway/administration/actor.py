"""
Who changes something, as the journal's `actor` has it.

The effective user, always. By the service's command (deploy/systemd/noojee-gateway) that is the service's user, whoever
calls; so the command says beside it who that was, and says it where only root can: in a credential of the unit that
systemd runs the verb in. A setting or a variable would be anybody's to set, and the record could put the blame on
somebody else.
"""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

__all__ = ["find_actor", "find_operator_uid"]

_CGROUP = Path("/proc/self/cgroup")
_CREDENTIALS = Path("/run/credentials")

_UNIT = re.compile(r"\d+:(?:name=systemd)?:/system\.slice/([\w.@:-]+\.service)", re.ASCII)
"""The line of systemd's own hierarchy for a process of a unit of root's systemd; nobody else begins a unit there."""

_UID = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_UID_LIMIT_BYTES = 16


def find_actor() -> str:
    """
    The name of the effective user, and behind it who called the service's command: `noojee-gateway (for alice)`.

    A user without a name stands as `uid:N`.
    """
    user = _find_name(os.geteuid())
    operator_uid = find_operator_uid(_CGROUP, _CREDENTIALS)
    return user if operator_uid is None else f"{user} (for {_find_name(operator_uid)})"


def find_operator_uid(cgroup: Path, credentials: Path) -> int | None:
    """
    Who called the service's command; None where nobody says so who can be believed.

    `$CREDENTIALS_DIRECTORY` is not asked, for it can name any folder. The kernel says which unit this process is in,
    and below `credentials` systemd alone makes a unit's folder, which the unit's user cannot write (systemd.exec(5)).

    Args:
        cgroup: Where the kernel says it.
        credentials: The folder in which systemd makes one for each unit.
    """
    try:
        units = filter(None, map(_UNIT.fullmatch, cgroup.read_text(encoding="utf-8").splitlines()))
        unit = next(units, None)
        if unit is None:
            return None
        with (credentials / unit[1] / "operator").open(encoding="ascii") as file:
            told = file.read(_UID_LIMIT_BYTES)
    except (OSError, ValueError):  # no Linux, no unit, a unit without it, or something that is no number
        return None
    return int(told) if _UID.fullmatch(told) else None


def _find_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid:{uid}"
