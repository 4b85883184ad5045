"""
Which settings can come into force while a gateway runs, and by what.

- `reload`: SIGHUP, in the processes that run.
- `restart`: `noojee-gateway restart`, in a worker of their own; no call is lost that a drain has time for.
- `start`: stopping the gateway and starting it, as for all that no table here names.

A setting that is in no table is the safe case: it stays as it is, and that is said.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.settings.model import ENVIRONMENT_PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Means", "Renewed", "find_means", "parse_settings", "render_settings", "renew"]


class Means(StrEnum):
    """
    What puts a changed setting into force.
    """

    RELOAD = "reload"
    RESTART = "restart"
    START = "start"

    @property
    def sentence(self) -> str:
        """
        What the operator does.
        """
        return {
            Means.RELOAD: "the gateway is reloaded (SIGHUP)",
            Means.RESTART: "`noojee-gateway restart`",
            Means.START: "the gateway is stopped and started",
        }[self]


_TLS_FILES: Final = ("tls_cert_file", "tls_key_file")

_RELOADED: Final = frozenset(
    {
        *_TLS_FILES,
        "log_level",
        "log_format",
        "max_connections",
        "body_timeout",
        "body_memory",
        "keep_alive_timeout",
        "drain_timeout",
    }
)

_WITH_A_NEW_WORKER: Final = frozenset(
    {
        "master_key_file",
        "journal_reserve",
        "number_country",
        "log_calls",
        "trusted_proxies",
        "forwarded_header",
        "snapshot_max_age",
        "head_timeout",
        "caller_stalled_timeout",
        "connect_timeout",
        "send_timeout",
        "reply_timeout",
        "write_reply_timeout",
        "lead_reply_timeout",
        "poll_margin",
        "recording_timeout",
        "call_timeout",
        "upstream_connections",
        "upstream_polls",
        "hash_pair_lifetime",
    }
)


def find_means(name: str) -> Means:
    """
    By what a setting comes into force.

    Args:
        name: As a field of `Settings`.
    """
    if name in _RELOADED:
        return Means.RELOAD
    return Means.RESTART if name in _WITH_A_NEW_WORKER else Means.START


class Renewed:
    """
    What is to be in force from now on.

    Attributes:
        settings: All of them.
        applied: The names of those that have changed and come into force.
        kept: The names of those that have changed and do not, and what would do it.
    """

    def __init__(self, settings: Settings, applied: list[str], kept: dict[str, Means]) -> None:
        self.settings = settings
        self.applied = applied
        self.kept = kept


def renew(present: Settings, found: Settings, *, is_restart: bool) -> Renewed:
    """
    Of the settings that were found, those that may come into force now, the others as they are.

    Args:
        present: What is in force.
        found: What was read.
        is_restart: Whether a new worker is started by them.
    """
    changed = [name for name in Settings.model_fields if getattr(present, name) != getattr(found, name)]
    means = {name: find_means(name) for name in changed}
    if any((getattr(present, name) is None) != (getattr(found, name) is None) for name in _TLS_FILES):
        means |= {name: Means.START for name in _TLS_FILES if name in changed}  # a port speaks TLS, or it does not
    now = {Means.RELOAD, Means.RESTART} if is_restart else {Means.RELOAD}
    update = {name: getattr(found, name) for name in changed if means[name] in now}
    kept = {_name_variable(name): means[name] for name in changed if name not in update}
    return Renewed(present.model_copy(update=update), [_name_variable(name) for name in update], kept)


def render_settings(settings: Settings) -> dict[str, Any]:
    """
    As values that JSON has; `parse_settings` is its inverse.
    """
    return {name: _render(getattr(settings, name)) for name in Settings.model_fields}


def parse_settings(values: Mapping[str, Any]) -> Settings:
    """
    What `render_settings` made.
    """
    durations = {name for name, field in Settings.model_fields.items() if field.annotation is timedelta}
    return Settings.model_validate(
        {name: timedelta(seconds=value) if name in durations else value for name, value in values.items()}
    )


def _render(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value) if isinstance(value, Path) else value


def _name_variable(name: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{name.upper()}"
