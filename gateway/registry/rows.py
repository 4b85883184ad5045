"""
Rows of the registry as values, where the values of `gateway.access` do not say all that is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["CallerRow", "GrantRow", "OwedEvent", "TokenRow"]


@dataclass(frozen=True, slots=True)
class CallerRow:
    """
    A caller without its grants.

    Attributes:
        networks: Canonical CIDRs; empty for anywhere.
        rate_per_second: Calls a second; None, as for `burst` and `concurrency`, for the default limit.
    """

    name: str
    networks: tuple[str, ...]
    query_token_allowed: bool
    is_enabled: bool
    rate_per_second: float | None = None
    burst: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class GrantRow:
    """
    A grant by the names that it joins.

    Attributes:
        rules: (parameter, rule as the operator wrote it), in the order they were given.
        allow_unique_ids: Whether calls may be named by unique id where a rule is on their extension.
    """

    grant_id: str
    caller_name: str
    credential_name: str
    operations: tuple[str, ...]
    rules: tuple[tuple[str, str], ...] = ()
    allow_unique_ids: bool = False


@dataclass(frozen=True, slots=True)
class TokenRow:
    """
    A token as it is listed. Instants are aware UTC datetimes.

    Attributes:
        lifetime_seconds: What it was made for, 0 for no end, once a rotation has shortened it; None before.
    """

    token_id: str
    caller_name: str
    issued_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    lifetime_seconds: int | None = None

    @property
    def lifetime(self) -> timedelta | None:
        """
        How long it was made to live; None for no end.
        """
        if self.lifetime_seconds is not None:
            return timedelta(seconds=self.lifetime_seconds) if self.lifetime_seconds else None
        return self.expires_at - self.issued_at if self.expires_at is not None else None


@dataclass(frozen=True, slots=True)
class OwedEvent:
    """
    The event of a change that was made while the journal could not be written.

    Attributes:
        version: The registry's version after the change.
        event: The journal's fields, JSON text.
    """

    request_id: str
    version: int
    event: str
