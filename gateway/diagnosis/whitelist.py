"""
Whether Noojee answers this address: the reply to `Time`, which needs no key, in plain words.

What an address outside the white-list sees is not documented by the vendor; a 401 or 403 to a call that needs no key
can mean little else, and what else it might be is told as what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.access.upstream import AuthMethod
from gateway.diagnosis.finding import Check, Finding
from gateway.diagnosis.path_findings import describe_egress
from gateway.errors import Reason, UpstreamError
from gateway.noojee.hash_pair import parse_time

if TYPE_CHECKING:
    from gateway.access.upstream import Upstream
    from gateway.diagnosis.attempt import Answered
    from gateway.diagnosis.path import Path

__all__ = ["find_time", "tell_whitelist"]

_REFUSING = frozenset({401, 403})
_NOT_FOUND = 404
_TOO_MANY = 429
_BROKEN = 500

_BREAKS = {
    Reason.UPSTREAM_BROKE: "the server took the request and closed the connection without an answer",
    Reason.UPSTREAM_TIMEOUT: "the server took the request and did not answer in time",
}


def tell_whitelist(upstream: Upstream, path: Path, answer: Answered | UpstreamError) -> Finding:
    """
    What the reply to `Time`, or its absence, says of this address.
    """
    egress = describe_egress(upstream, path)
    if isinstance(answer, UpstreamError):
        ok, said, advice = _explain_broken(egress, answer)
    elif find_time(answer) is not None:
        ok, said, advice = True, f"Noojee answers {egress}", None
    else:
        ok, said, advice = _explain_status(upstream, egress, answer.status)
    return Finding(Check.WHITELIST, ok, f"{upstream.name}: {said}.", advice)


def find_time(answer: Answered) -> int | None:
    """
    Noojee's time in milliseconds since 1970, when the reply is one.
    """
    if not 200 <= answer.status < 300 or answer.body is None:  # noqa: PLR2004 - RFC 9110 section 15.3
        return None
    try:
        return parse_time(answer.body)
    except ValueError:
        return None


def _explain_status(upstream: Upstream, egress: str, status: int) -> tuple[bool | None, str, str | None]:
    if status in _REFUSING:
        return (
            False,
            f"the server answered but refused this address ({status})",
            f"Ask Noojee Support to white-list {egress}.",
        )
    if status == _TOO_MANY:
        return True, f"Noojee answers {egress}, and asks us to wait ({status})", None
    if status == _NOT_FOUND:
        return (
            False if upstream.auth is AuthMethod.HASH else None,
            f"the server knows no {upstream.prefix}/servicemanager/rest/Time (404)",
            "If calls fail in the same way, look at the path in the upstream's URL; whoever answers may be no Noojee.",
        )
    if status >= _BROKEN:
        return (
            False,
            f"the server answers with an error of its own ({status})",
            "Ask Noojee's administrator whether it is being maintained; then check again.",
        )
    return (
        False,
        f"what answered Time with status {status} told no time, so perhaps it is no Noojee",
        "Look at the upstream's URL; a sign-in page of a proxy or firewall may stand in between.",
    )


def _explain_broken(egress: str, error: UpstreamError) -> tuple[bool | None, str, str | None]:
    if error.reason is Reason.UPSTREAM_REDIRECTED:
        return (
            False,
            "the server answers with a redirect, which is never followed",
            "Write the URL to which it leads into the upstream; a sign-in page of a proxy redirects, too.",
        )
    said = _BREAKS.get(error.reason)
    if said is None:
        return None, f"Time was not sent ({error.reason.code})", None
    return False, said, f"It may refuse this address in this way: ask Noojee Support whether {egress} is white-listed."
