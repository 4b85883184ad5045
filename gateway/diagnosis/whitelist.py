"""
Whether Noojee answers this address: the reply to `Time`, which needs no key, in plain words.

What an address outside the white-list sees is not documented by the vendor; a 401 or 403 to a call that needs no key
can mean little else, and what else it might be is told as what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.access.upstream import AuthMethod
from gateway.diagnosis.finding import Check, Finding, Learnt
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


class _Said(NamedTuple):
    """
    As in `Finding` and `Learnt`.
    """

    ok: bool | None
    is_accepted: bool | None
    is_answering: bool | None
    detail: str
    advice: str | None = None


def tell_whitelist(upstream: Upstream, path: Path, answer: Answered | UpstreamError) -> Learnt:
    """
    What the reply to `Time`, or its absence, says of this address.
    """
    egress = describe_egress(upstream, path)
    if isinstance(answer, UpstreamError):
        said = _explain_broken(egress, answer)
    elif find_time(answer) is not None:
        said = _Said(True, True, True, f"Noojee answers {egress}")
    else:
        said = _explain_status(upstream, egress, answer.status)
    finding = Finding(Check.WHITELIST, said.ok, f"{upstream.name}: {said.detail}.", said.advice)
    return Learnt(finding, said.is_accepted, said.is_answering)


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


def _explain_status(upstream: Upstream, egress: str, status: int) -> _Said:
    if status in _REFUSING:
        return _Said(
            False,
            False,
            None,
            f"the server answered but refused this address ({status})",
            f"Ask Noojee Support to white-list {egress}.",
        )
    if status == _TOO_MANY:
        return _Said(True, True, True, f"Noojee answers {egress}, and asks us to wait ({status})")
    if status == _NOT_FOUND:
        is_needed = False if upstream.auth is AuthMethod.HASH else None
        return _Said(
            is_needed,
            None,
            is_needed,
            f"the server knows no {upstream.prefix}/servicemanager/rest/Time (404)",
            "If calls fail in the same way, look at the path in the upstream's URL; whoever answers may be no Noojee.",
        )
    if status >= _BROKEN:
        return _Said(
            False,
            None,
            False,
            f"the server answers with an error of its own ({status})",
            "Ask Noojee's administrator whether it is being maintained; then check again.",
        )
    return _Said(
        False,
        None,
        False,
        f"what answered Time with status {status} told no time, so perhaps it is no Noojee",
        "Look at the upstream's URL; a sign-in page of a proxy or firewall may stand in between.",
    )


def _explain_broken(egress: str, error: UpstreamError) -> _Said:
    if error.reason is Reason.UPSTREAM_REDIRECTED:
        return _Said(
            False,
            None,
            False,
            "the server answers with a redirect, which is never followed",
            "Write the URL to which it leads into the upstream; a sign-in page of a proxy redirects, too.",
        )
    said = _BREAKS.get(error.reason)
    if said is None:
        return _Said(None, None, None, f"Time was not sent ({error.reason.code})")
    advice = f"It may refuse this address in this way: ask Noojee Support whether {egress} is white-listed."
    return _Said(False, None, False, said, advice)
