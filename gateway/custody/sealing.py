"""
A Noojee key at rest: sealed for one credential of one upstream at one origin, and opened for that alone.

Whoever can write the registry, but has no master key, can move rows about: give a user's name to the global key, or
point an upstream at a host of his own. The seal is bound to all of that, so what was moved does not open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.custody.cipher import open_bytes, render_context, seal_bytes
from gateway.errors import SealError
from gateway.secret import Secret

if TYPE_CHECKING:
    from gateway.access.credential import Credential
    from gateway.custody.ring import Ring

__all__ = ["open_key", "reseal_key", "seal_key"]

_LABEL = "noojee-gateway credential"
_PLACES_LIMIT = 1024

_places: dict[int, tuple[Credential, bytes]] = {}
"""
What seals are bound to, rendered once for each credential that is in use: nothing secret. By identity, because each
call opens a key and a credential with its upstream's certificates is slow to hash; an entry holds its credential, so
that no other can come to have its identity.
"""


def seal_key(ring: Ring, key: Secret, credential: Credential) -> bytes:
    """
    The key's text, sealed for this credential: its id, kind and owner, its upstream's name and origin.

    What `credential.sealed` holds meanwhile does not matter.
    """
    return seal_bytes(ring, key.reveal().encode(), _render_place(credential))


def open_key(ring: Ring, credential: Credential) -> Secret:
    """
    The stored key of a credential: the one function that gives it. Called only from `gateway.upstream`.

    Raises:
        SealError: There is no key (the credential was removed), or it does not open in this place with this ring.
    """
    if credential.sealed is None:
        raise SealError(f"the credential {credential.name} has no key: it was removed")
    return Secret(open_bytes(ring, credential.sealed, _render_place(credential)).decode())


def reseal_key(ring: Ring, credential: Credential) -> bytes:
    """
    The stored key of a credential under the ring's newest version. The key itself does not leave this function.

    Raises:
        SealError: As `open_key`.
    """
    if credential.sealed is None:
        raise SealError(f"the credential {credential.name} has no key: it was removed")
    place = _render_place(credential)
    return seal_bytes(ring, open_bytes(ring, credential.sealed, place), place)


def _render_place(credential: Credential) -> bytes:
    known = _places.get(id(credential))
    if known is not None and known[0] is credential:
        return known[1]
    # The owner comes last and is left out where there is none, so that "no owner" is no owner's name.
    place = (_LABEL, credential.credential_id, credential.kind, credential.upstream.name, credential.upstream.origin)
    rendered = render_context(place if credential.owner is None else (*place, credential.owner))
    if len(_places) >= _PLACES_LIMIT:
        _places.clear()
    _places[id(credential)] = (credential, rendered)
    return rendered
