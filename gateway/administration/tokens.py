"""
The verbs of `token`: issued once and shown once, kept as a digest, replaced with an overlap, ended for good.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.access.token import create_token_text, digest_token
from gateway.administration.finding import get_caller
from gateway.administration.names import parse_token_id
from gateway.audit.event import Tag
from gateway.clock import render_instant
from gateway.errors import OperatorError, OperatorReason
from gateway.registry.rows import TokenRow

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from gateway.administration.desk import Desk
    from gateway.registry.reading import Reading
    from gateway.registry.transaction import Transaction
    from gateway.secret import Secret

__all__ = ["find_all", "issue", "render", "revoke", "rotate"]


def issue(desk: Desk, caller: str, *, expires_in: timedelta | None) -> tuple[dict[str, object], Secret]:
    """
    Make a token for a caller.

    Returns:
        What `--json` shows, without the token, and the token itself: the only time that it is seen.

    Raises:
        OperatorError: `not_found`, `invalid`, or what `Desk.changing` raises; then no token is shown, even when one was
            made, and `token list` tells its id.
    """
    now = desk.clock.now()
    expires_at = _add(now, expires_in) if expires_in is not None else None
    token_id, text = create_token_text()
    token = TokenRow(token_id, caller, now, expires_at, None)
    digest = digest_token(text.reveal())
    with desk.changing() as change:
        with desk.reading() as registry:
            get_caller(registry, caller)
        details = {"caller": caller, "expires_at": _render_instant(expires_at)}
        change.carry_out(Tag.TOKEN_ISSUED, token_id, details, lambda registry: registry.add_token(token, digest))
    return {"token_id": token_id, "caller": caller, "expires_at": _render_instant(expires_at)}, text


def rotate(desk: Desk, token_id: str, *, overlap: timedelta) -> tuple[dict[str, object], Secret]:
    """
    Make a token in the place of another, which ends after the overlap, or when it would have ended if that is earlier.

    The new one is valid as long as the old one was made to be, counted from now; without end if the old one had none.

    Args:
        overlap: Nothing for an end now, which `revoke`, called then, waits for.

    Returns:
        What `--json` shows, without the token, and the token itself: the only time that it is seen.

    Raises:
        OperatorError: `not_found`; `invalid`, also for a token that has ended; what `Desk.changing` raises: then no
            token is shown, even when one was made.
    """
    parse_token_id(token_id)
    now = desk.clock.now()
    with desk.changing() as change:
        with desk.reading() as registry:
            old = _get_token(registry, token_id)
        if (state := _find_state(old, now)) != "active":
            raise OperatorError(
                OperatorReason.INVALID,
                f"The token {token_id} is {state} already. Make a new one with `noojee-gateway token issue "
                f"{old.caller_name}`.",
            )
        new_id, text = create_token_text()
        expires_at = _add(now, old.lifetime) if old.lifetime is not None else None
        old_expires_at = min(filter(None, (old.expires_at, _end_overlap(now, overlap))))
        token, digest = TokenRow(new_id, old.caller_name, now, expires_at, None), digest_token(text.reveal())

        def write(registry: Transaction) -> None:
            registry.add_token(token, digest)
            if overlap:
                registry.expire_token(token_id, old_expires_at, lifetime=old.lifetime)
            else:
                registry.revoke_token(token_id, now)

        rotated = {
            "caller": old.caller_name,
            "expires_at": _render_instant(expires_at),
            "old_expires_at": _render_instant(old_expires_at),
        }
        change.carry_out(Tag.TOKEN_ROTATED, token_id, {"token_id": new_id, **rotated}, write)
    return {"token_id": new_id, "replaces": token_id, **rotated}, text


def revoke(desk: Desk, token_id: str) -> dict[str, object]:
    """
    End a token for good; in force in every running worker when this returns.

    A second time does no harm, keeps the first instant, and again waits for the workers: whoever was told that one of
    them did not acknowledge repeats the command. Made even when the journal cannot be written.

    Raises:
        OperatorError: `not_found`, `invalid`, or what `Desk.changing` raises.
    """
    parse_token_id(token_id)
    now = desk.clock.now()
    with desk.changing(awaits_workers=True, may_go_unrecorded=True) as change:
        with desk.reading() as registry:
            token = _get_token(registry, token_id)
        if token.revoked_at is None:
            details = {"caller": token.caller_name}
            change.carry_out(
                Tag.TOKEN_REVOKED, token_id, details, lambda registry: registry.revoke_token(token_id, now)
            )
            token = replace(token, revoked_at=now)
    return render(token, now)


def find_all(desk: Desk, caller: str | None = None) -> list[dict[str, object]]:
    """
    All tokens, or those of a caller, the oldest first; revoked and expired ones too.

    Raises:
        OperatorError: `not_found`.
    """
    now = desk.clock.now()
    with desk.reading() as registry:
        if caller is not None:
            get_caller(registry, caller)
        return [render(token, now) for token in registry.find_tokens(caller_name=caller)]


def render(token: TokenRow, now: datetime) -> dict[str, object]:
    """
    A token as `--json` shows it: everything but the token.
    """
    return {
        "token_id": token.token_id,
        "caller": token.caller_name,
        "state": _find_state(token, now),
        "issued_at": _render_instant(token.issued_at),
        "expires_at": _render_instant(token.expires_at),
        "revoked_at": _render_instant(token.revoked_at),
    }


def _get_token(registry: Reading, token_id: str) -> TokenRow:
    token = registry.find_token(token_id)
    if token is None:
        raise OperatorError(
            OperatorReason.NOT_FOUND,
            f"There is no token {token_id}. `noojee-gateway token list` shows those there are.",
        )
    return token


def _end_overlap(now: datetime, overlap: timedelta) -> datetime:
    try:
        return now + overlap
    except OverflowError:
        raise OperatorError(OperatorReason.INVALID, "The overlap must end before the year 9999, as in 24h.") from None


def _find_state(token: TokenRow, now: datetime) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at is not None and now >= token.expires_at else "active"


def _add(now: datetime, expires_in: timedelta) -> datetime:
    try:
        expires_at = now + expires_in
    except OverflowError:
        expires_at = now
    if expires_at <= now:
        raise OperatorError(
            OperatorReason.INVALID, "A token must expire in the future, and before the year 9999, as in --expires 90d."
        )
    return expires_at


def _render_instant(instant: datetime | None) -> str | None:
    return render_instant(instant) if instant is not None else None
