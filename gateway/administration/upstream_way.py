"""
What stands on the way to an upstream, from what operators write: a proxy with its password, pins, and old TLS.

Law 5 asks for TLS 1.2 and a certificate that verifies. Where a server can do neither, the operator may say so, but only
together with a pin: then whoever is not that one server is still refused, and nothing else is loosened by accident.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from gateway.access.pin import parse_pin
from gateway.access.proxy import Proxy, parse_proxy
from gateway.custody import seal_proxy_password
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.access.upstream import Upstream
    from gateway.custody import Ring
    from gateway.secret import Secret

__all__ = ["NONE", "PASSWORD_LIMIT", "describe_way", "needs_password", "set_way"]

NONE = "none"
"""In place of a proxy or a pin: from now on without."""

PASSWORD_LIMIT = 256


def needs_password(proxy: str | None) -> bool:
    """
    Whether a password belongs to what `--proxy` was given.

    Raises:
        OperatorError: `invalid`.
    """
    return proxy is not None and proxy != NONE and _parse_proxy(proxy).user is not None


def set_way(
    upstream: Upstream,
    ring: Ring,
    *,
    proxy: str | None,
    proxy_password: Secret | None,
    pins: Sequence[str] | None,
    allow_old_tls: bool | None,
) -> Upstream:
    """
    The upstream with another way to it; what is None stays.

    Args:
        proxy: A URL, or `none`.
        proxy_password: Exactly when the URL has a user.
        pins: All of them, or `none` alone.

    Raises:
        OperatorError: `invalid`, also when old TLS would be allowed without a pin.
    """
    parts: dict[str, object] = {}
    if proxy is not None:
        parts["proxy"] = None if proxy == NONE else _seal(_parse_proxy(proxy), proxy_password, ring, upstream.name)
    if pins is not None:
        parts["pins"] = () if list(pins) == [NONE] else _parse_pins(pins)
    if allow_old_tls is not None:
        parts["allow_old_tls"] = allow_old_tls
    changed = dataclasses.replace(upstream, **parts)  # type: ignore[arg-type]  # each part was made for its field
    if changed.allow_old_tls and not changed.pins:
        raise _invalid(
            "TLS before 1.2 can be read and forged by whoever stands in between, unless the one server is known: give "
            "--allow-old-tls together with --pin sha256//..., as `noojee-gateway check` shows it and Noojee's "
            "administrator confirms it; without a pin use --no-allow-old-tls."
        )
    return changed


def describe_way(upstream: Upstream) -> dict[str, object]:
    """
    As it is shown and recorded.
    """
    return {
        "proxy": upstream.proxy.url if upstream.proxy is not None else None,
        "pins": list(upstream.pins),
        "allow_old_tls": upstream.allow_old_tls,
    }


def _parse_proxy(url: str) -> Proxy:
    try:
        return parse_proxy(url)
    except ValueError as error:
        raise _invalid(_sentence(error)) from None


def _parse_pins(pins: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(parse_pin(pin) for pin in pins))
    except ValueError as error:
        raise _invalid(_sentence(error)) from None


def _seal(proxy: Proxy, password: Secret | None, ring: Ring, upstream_name: str) -> Proxy:
    if proxy.user is None:
        if password is not None:
            raise _invalid("A password needs a user: write the proxy as http://USER@HOST:PORT.")
        return proxy
    text = password.reveal() if password is not None else ""
    if password is None or not text.isprintable() or not 1 <= len(text) <= PASSWORD_LIMIT:
        raise _invalid(
            f"The proxy's user needs a password, 1 to {PASSWORD_LIMIT} printable characters on standard input."
        )
    return dataclasses.replace(proxy, sealed=seal_proxy_password(ring, password, upstream_name, proxy))


def _sentence(error: ValueError) -> str:
    text = str(error)  # of our own writing
    return f"{text[:1].upper()}{text[1:]}."


def _invalid(detail: str) -> OperatorError:
    return OperatorError(OperatorReason.INVALID, detail)
