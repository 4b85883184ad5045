"""
`check`: the registry, whether its keys were sealed under this ring, and the tokens that end soon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.access.token import EXPIRES_SOON
from gateway.custody import SealError, find_seal_version
from gateway.diagnosis.finding import Check, Finding

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.access.credential import Credential
    from gateway.administration.desk import Desk
    from gateway.registry.reading import Reading

__all__ = ["check_registry"]

_NAMED = 5
"""How many tokens are named; of more there is the number."""


def check_registry(desk: Desk) -> Finding:
    """
    What is in the registry, and what of it needs a hand.

    Raises:
        OperatorError: It cannot be read.
    """
    with desk.reading() as registry:
        upstreams, credentials = registry.find_upstreams(), registry.find_credentials()
        detail = (
            f"The registry holds {_count(len(upstreams), 'upstream')}, {_count(len(credentials), 'credential')} and "
            f"{_count(len(registry.find_callers()), 'caller')}."
        )
        ending = _find_ending(registry, desk.clock.now())
    foreign = [name for name, each in credentials.items() if not _is_under_ring(desk, each)]
    if foreign:
        return Finding(
            Check.REGISTRY,
            False,
            f"The keys of {', '.join(foreign)} are sealed under a version of the master key that is not in its file.",
            "Put the master key's file back from its backup, or enter these keys again with `noojee-gateway credential "
            "rotate`.",
        )
    if not upstreams:
        return Finding(
            Check.REGISTRY,
            True,
            detail,
            "Name a Noojee: `noojee-gateway upstream add NAME --url https://HOST`.",
        )
    if ending:
        more = f" and {len(ending) - _NAMED} more" if len(ending) > _NAMED else ""
        return Finding(
            Check.REGISTRY,
            True,
            detail,
            f"Tokens that end within 30 days: {', '.join(ending[:_NAMED])}{more}. Replace them with `noojee-gateway "
            "token rotate`.",
        )
    return Finding(Check.REGISTRY, True, detail)


def _find_ending(registry: Reading, now: datetime) -> list[str]:
    tokens = [
        each
        for each in registry.find_tokens()
        if each.revoked_at is None and each.expires_at is not None and now < each.expires_at < now + EXPIRES_SOON
    ]
    tokens.sort(key=lambda each: each.expires_at or now)
    return [f"{each.token_id} of {each.caller_name} ({each.expires_at:%Y-%m-%d})" for each in tokens]


def _is_under_ring(desk: Desk, credential: Credential) -> bool:
    if credential.sealed is None:
        return True
    try:
        return find_seal_version(credential.sealed) in desk.ring.versions
    except SealError:
        return False


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
