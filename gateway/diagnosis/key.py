"""
Whether a key opens what it should: the reply to one read operation, in plain words.

The operation is the list of campaign templates: it has no parameter, changes nothing, and both kinds of key may call
it. How a refused key looks is not documented by the vendor; after `Time` was answered, a refusal is the key's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.access.credential import Kind
from gateway.diagnosis.finding import Check, Finding, Learnt
from gateway.errors import Reason, UpstreamError
from gateway.outcome import Outcome

if TYPE_CHECKING:
    from gateway.access.credential import Credential
    from gateway.diagnosis.attempt import Answered

__all__ = ["OPERATION", "tell_key"]

OPERATION = "CampaignAPI/getCampaignTemplateList"

_REFUSING = frozenset({400, 401, 403})
_UNWILLING = 400
_SENT = frozenset({Reason.UPSTREAM_BROKE, Reason.UPSTREAM_TIMEOUT, Reason.UPSTREAM_REDIRECTED})


def tell_key(credential: Credential, answer: Answered | UpstreamError) -> Learnt:
    """
    What the reply to `OPERATION` says of a credential's key.
    """
    who = f"{credential.upstream.name}: the key of the credential {credential.name}"
    if isinstance(answer, UpstreamError):
        if answer.reason is Reason.CREDENTIAL_UNAVAILABLE:
            unopened = Finding(
                Check.KEY,
                False,
                f"{who} does not open with this master key.",
                f"Put the right master key back, or enter the key again: `noojee-gateway credential rotate "
                f"{credential.name}`.",
            )
            return Learnt(unopened, None, None)
        untried = Finding(
            Check.KEY,
            False,
            f"{who} could not be tried ({answer.reason.code}).",
            "Check again; if it stays, ask Noojee's administrator what their log says.",
        )
        return Learnt(untried, None, False if answer.reason in _SENT else None)
    if answer.outcome is Outcome.SUCCEEDED:
        sight = _tell_sight(credential, who, answer.body)
        return Learnt(sight, sight.ok, True)
    if answer.status in _REFUSING or (answer.outcome is Outcome.REFUSED and answer.status < _UNWILLING):
        detail = f"{who} is refused by Noojee ({answer.status})."
        return Learnt(Finding(Check.KEY, False, detail, _advise_refused(credential)), False, None)
    is_broken = answer.outcome is Outcome.FAILED
    said = "with an error of its own" if is_broken else "otherwise than by a yes or no"
    untried = Finding(
        Check.KEY,
        False,
        f"{who} could not be tried: Noojee answered {said} ({answer.status}).",
        "Check again; if it stays, ask Noojee's administrator what their log says.",
    )
    return Learnt(untried, None, False if is_broken else None)


def _tell_sight(credential: Credential, who: str, body: bytes | None) -> Finding:
    if credential.kind is Kind.GLOBAL or body is None or _sees_something(body):
        return Finding(Check.KEY, True, f"{who} works.")
    return Finding(
        Check.KEY,
        False,
        f"{who} works, and sees nothing: no campaign template is shown to {credential.owner}.",
        f"A user key sees campaigns of its user's teams alone. In Noojee: (1) {credential.owner} is in the group "
        "Outbound Agent; (2) is an Agent in a Team; (3) that Team is set on the Campaign Template.",
    )


def _sees_something(body: bytes) -> bool:
    """
    False only for a reply that says so: `entities`, and nothing in it.
    """
    try:
        document = json.loads(body)
    except ValueError:
        return True
    return not (isinstance(document, dict) and document.get("entities") == [])


def _advise_refused(credential: Credential) -> str:
    again = f"enter it with `noojee-gateway credential rotate {credential.name}`."
    if credential.kind is Kind.USER:
        return (
            f"Compare it with the one in Noojee (Users > Accounts, {credential.owner}, Advanced mode, Security tab), "
            f"and {again}"
        )
    return f"Ask Noojee Support for the global key that is in force, and {again}"
