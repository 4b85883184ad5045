"""
TLS with an upstream in plain words: what is wrong with a certificate or a handshake, and what to do about it.
"""

from __future__ import annotations

import ssl
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from gateway.diagnosis.finding import Check, Finding
from gateway.upstream.trust import PinError

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.access.upstream import Upstream
    from gateway.diagnosis.path import Seen

__all__ = ["describe_error", "tell_tls"]

_EXPIRY_WARNING = timedelta(days=30)
_EXPIRED, _NOT_YET_VALID, _WRONG_NAME, _WRONG_ADDRESS = 10, 9, 62, 64
"""X509_V_ERR_CERT_HAS_EXPIRED and the like (openssl-verification-options(1))."""

_OLD_VERSIONS = frozenset({"SSLv3", "TLSv1", "TLSv1.1"})
_OLD_WORDS = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "VERSION_TOO_LOW")
_WEAK_WORDS = ("TOO_SMALL", "TOO_WEAK", "LEGACY", "SIGNATURE", "HANDSHAKE_FAILURE", "NO_SHARED_CIPHER")
_NOT_TLS_WORDS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH")
"""Of OpenSSL's reasons, as `ssl.SSLError.reason` has them."""


class _Trouble(NamedTuple):
    what: str  # a clause
    advice: str


def tell_tls(upstream: Upstream, error: Exception | None, seen: Seen | None, now: datetime) -> Finding:
    """
    What came of the handshake.

    Args:
        error: Why it failed; None where it did not.
        seen: What the server showed.
        now: For the certificate's end.
    """
    if error is None:
        return _tell_good(upstream, seen, now)
    trouble = _explain(upstream, error, seen)
    shown = f" It shows {_describe(seen)}." if seen is not None else ""
    return Finding(Check.TLS, False, f"{upstream.name}: {trouble.what}.{shown}", trouble.advice)


def describe_error(error: Exception | None) -> str:
    """
    A word or two of the system's.
    """
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def _tell_good(upstream: Upstream, seen: Seen | None, now: datetime) -> Finding:
    advice = None
    if seen is not None and seen.validity is not None and seen.validity.ends_at - now < _EXPIRY_WARNING:
        advice = "The certificate ends within 30 days: ask Noojee's administrator to renew it."
        if upstream.pins:
            advice += " If its key changes too, add the new key's --pin beside the old one before."
    elif upstream.allow_old_tls and seen is not None and seen.version not in _OLD_VERSIONS:
        advice = (
            "If its signatures are not weak either, old TLS is no longer needed: `noojee-gateway upstream set "
            f"{upstream.name} --no-allow-old-tls`."
        )
    return Finding(Check.TLS, True, f"{upstream.name}: {_describe(seen) if seen is not None else 'TLS'}.", advice)


def _explain(upstream: Upstream, error: Exception, seen: Seen | None) -> _Trouble:
    if isinstance(error, PinError):
        return _Trouble(
            "the certificate has another key than the pinned ones",
            "Ask Noojee's administrator whether the key was changed. If it was, and the pin above is the new one, set "
            f"it with `noojee-gateway upstream set {upstream.name} --pin ...`; if not, somebody stands in between.",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(upstream, error)
    if isinstance(error, ssl.SSLError):
        return _explain_protocol(upstream, error, seen)
    if isinstance(error, TimeoutError):
        return _Trouble(
            "the server accepts the connection and then says nothing",
            "Look whether that is the port of HTTPS, and whether something in between inspects TLS.",
        )
    return _Trouble(
        f"the connection is ended within the handshake ({describe_error(error)})",
        "Something in between may allow TLS to other hosts only, or Noojee may refuse this address so: ask Noojee "
        "Support whether it is on the white-list.",
    )


def _explain_certificate(upstream: Upstream, error: ssl.SSLCertVerificationError) -> _Trouble:
    code = error.verify_code
    if code == _EXPIRED:
        return _Trouble(
            "the certificate has expired",
            "Ask Noojee's administrator to renew it. Look at this machine's clock, too: `date -u`.",
        )
    if code == _NOT_YET_VALID:
        return _Trouble(
            "the certificate is not valid yet",
            "Look at this machine's clock: `date -u`. If it is right, ask Noojee's administrator.",
        )
    if code in {_WRONG_NAME, _WRONG_ADDRESS}:
        return _Trouble(
            f"the certificate is not for {upstream.host}",
            "Write the name that stands in the certificate into the upstream's URL, or ask Noojee's administrator for "
            "a certificate with this name.",
        )
    if upstream.ca_pem is not None:
        return _Trouble(
            "the certificate is not signed by what --ca-file gave",
            f"Get the CA's certificate that signed it, and set it with `noojee-gateway upstream set {upstream.name} "
            "--ca-file FILE`. A firewall that inspects TLS signs with a CA of its own.",
        )
    return _Trouble(
        "the certificate is not signed by any CA that this machine trusts",
        "If Noojee, or a firewall that inspects TLS, has a CA of its own, set its certificate with `noojee-gateway "
        f"upstream set {upstream.name} --ca-file FILE`.",
    )


def _explain_protocol(upstream: Upstream, error: ssl.SSLError, seen: Seen | None) -> _Trouble:
    reason = (error.reason or "").upper()
    is_old = seen is not None and seen.version in _OLD_VERSIONS
    if is_old or any(word in reason for word in (*_OLD_WORDS, *_WEAK_WORDS)):
        return _Trouble(
            "the server speaks no TLS from 1.2 on" if is_old else "the server's TLS or signatures are too weak",
            "Ask Noojee's administrator to switch TLS 1.2 on. Until then such a server is taken by its key alone: "
            f"`noojee-gateway upstream set {upstream.name} --allow-old-tls --pin sha256//...`, with the pin that it "
            "shows once the administrator has confirmed it.",
        )
    if seen is None and any(word in reason for word in _NOT_TLS_WORDS):
        return _Trouble(
            "what answers on that port does not speak TLS",
            "Look at the port in the upstream's URL: that of https is mostly 443.",
        )
    return _Trouble(
        f"the TLS handshake fails ({reason or 'no reason is given'})",
        "Look whether something in between inspects TLS, and ask Noojee's administrator for the server's log.",
    )


def _describe(seen: Seen) -> str:
    parts = [seen.version]
    if seen.validity is not None:
        parts.append(f"a certificate until {seen.validity.ends_at:%Y-%m-%d}")
    if seen.pin is not None:
        parts.append(f"the pin {seen.pin}")
    return ", ".join(parts)
