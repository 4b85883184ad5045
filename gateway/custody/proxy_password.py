"""
A proxy's password at rest: sealed for one user of one proxy before one upstream, and opened for that alone.

As with a key of Noojee's: whoever can write the registry, but has no master key, can point an upstream at a proxy of
his own, and what was sealed for another does not open there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.custody.cipher import open_bytes, render_context, seal_bytes
from gateway.errors import SealError
from gateway.secret import Secret

if TYPE_CHECKING:
    from gateway.access.proxy import Proxy
    from gateway.access.upstream import Upstream
    from gateway.custody.ring import Ring

__all__ = ["open_proxy_password", "reseal_proxy_password", "seal_proxy_password"]

_LABEL = "noojee-gateway proxy"


def seal_proxy_password(ring: Ring, password: Secret, upstream_name: str, proxy: Proxy) -> bytes:
    """
    The password, sealed for this proxy's user before the upstream of this name.
    """
    return seal_bytes(ring, password.reveal().encode(), _render_place(upstream_name, proxy))


def open_proxy_password(ring: Ring, upstream: Upstream) -> Secret | None:
    """
    The password for an upstream's proxy; None where it asks for none. Called only from `gateway.upstream`.

    Raises:
        SealError: It does not open in this place with this ring.
    """
    proxy = upstream.proxy
    if proxy is None or proxy.user is None:
        return None
    return Secret(open_bytes(ring, _get_seal(proxy), _render_place(upstream.name, proxy)).decode())


def reseal_proxy_password(ring: Ring, upstream: Upstream, proxy: Proxy) -> bytes:
    """
    The stored password under the ring's newest version. The password itself does not leave this function.

    Raises:
        SealError: As `open_proxy_password`.
    """
    place = _render_place(upstream.name, proxy)
    return seal_bytes(ring, open_bytes(ring, _get_seal(proxy), place), place)


def _get_seal(proxy: Proxy) -> bytes:
    if proxy.sealed is None:
        raise SealError(f"the proxy {proxy.address} has a user and no password")
    return proxy.sealed


def _render_place(upstream_name: str, proxy: Proxy) -> bytes:
    return render_context((_LABEL, upstream_name, proxy.address, proxy.user or ""))
