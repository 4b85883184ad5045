"""
The snapshot: the registry as one immutable value that the data plane decides on.

Holds what calls need and nothing else: revoked tokens and the tokens of disabled callers are not in it, so that
unknown, revoked and disabled are one and the same look-up that finds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.access.caller import Caller
    from gateway.access.credential import Credential
    from gateway.access.token import Token

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    One version of the registry.

    Attributes:
        version: The registry's version; stands in records as `policy_version`.
        tokens: By the SHA-256 of their text. The one part that is not of its version for ever: a feed's snapshots share
            one map, which is changed in place, between calls, because there may be a hundred thousand of them.
        callers: By name; disabled ones are absent.
        credentials: By name; removed ones that grants still name are present without a key.
        fingerprints: Keyed fingerprint of an API key -> name of the credential that holds it.
    """

    version: int
    tokens: Mapping[bytes, Token]
    callers: Mapping[str, Caller]
    credentials: Mapping[str, Credential]
    fingerprints: Mapping[bytes, str] = field(default_factory=lambda: MappingProxyType({}))

    def __repr__(self) -> str:
        return f"<Snapshot {self.version}: {len(self.callers)} callers, {len(self.tokens)} tokens>"
