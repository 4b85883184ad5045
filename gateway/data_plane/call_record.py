"""
What the journal says of one call: its denial, or its intent and its outcome, joined by the request id.

Grows as the story learns more; renders events, and writes none. They come out as bytes, each rendered once, by one call
of the encoder on fields that stand in the journal's order already: a fifth of what checking them takes, twice a call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gateway.audit.event import Rendered, Tag, render_closing, render_tag

if TYPE_CHECKING:
    from gateway.access.grant import Grant
    from gateway.data_plane.authentication import Standing
    from gateway.errors import Reason
    from gateway.noojee.catalogue import Operation
    from gateway.outcome import Outcome

__all__ = ["CallRecord", "Ending"]

_DENIED = render_tag(Tag.CALL_DENIED)
_INTENDED = render_tag(Tag.CALL_INTENDED)
_ENDED = render_tag(Tag.CALL_ENDED)


class Ending(NamedTuple):
    """
    How an attempt ended.

    Attributes:
        reason: Why it is not a plain reply passed on: the reason of our own answer, if we gave one.
        upstream_status: Noojee's status, when its head arrived.
        noojee_code: The `Code` or `code` of a buffered JSON reply.
        reply_bytes: Bytes of the reply's body that went down.
        detail: What the caller is told when no whole reply came, where more is known than the reason says.
    """

    outcome: Outcome
    reason: Reason | None = None
    upstream_status: int | None = None
    noojee_code: int | None = None
    reply_bytes: int | None = None
    detail: str | None = None


@dataclass(slots=True)
class CallRecord:
    """
    One call of a caller with a valid token, as far as it is known.

    Attributes:
        parameters: In their redacted form.
        started_at: Monotonic seconds at which the present attempt began, for the first one the call.
        attempt: Which attempt of the call this is, from 1.
        client: The caller's address, where a trusted proxy told it.
        sent_at: Monotonic seconds at which the present attempt was begun to be sent.
        earlier_seconds: What earlier attempts took.
        body_seconds: For how long the caller's body was waited for.
        upstream_seconds: What all attempts took, from their intent's being on disk.
        ending: How the last attempt that is over ended.
    """

    request_id: str
    standing: Standing
    peer: str
    started_at: float
    operation: Operation | None = None
    grant: Grant | None = None
    parameters: dict[str, object] | None = None
    body_bytes: int | None = None
    body_hmac: str | None = None
    attempt: int = 1
    client: str | None = None
    sent_at: float = 0.0
    earlier_seconds: float = 0.0
    body_seconds: float = 0.0
    upstream_seconds: float = 0.0
    ending: Ending | None = None

    def begin_again(self, now: float) -> None:
        """
        From here on it is the record of another attempt, with an intent and an outcome of its own.
        """
        self.attempt += 1
        self.earlier_seconds += now - self.started_at
        self.started_at = now

    def conclude(self, ending: Ending, now: float) -> None:
        """
        The present attempt is over, at `now` in monotonic seconds.
        """
        self.ending = ending
        self.upstream_seconds += now - self.sent_at

    def find_age_seconds(self, now: float) -> float:
        """
        How long the call has taken at `now`, without the wait for its caller's body.
        """
        return self.earlier_seconds + now - self.started_at - self.body_seconds

    def denied(self, reason: str) -> Rendered:
        """
        `call.denied`: nothing was sent.
        """
        fields = self._tell()
        del fields["attempt"]
        fields["decision"] = "deny"
        fields["reason"] = reason
        return Rendered(_DENIED, render_closing(fields))

    def intended(self) -> Rendered:
        """
        `call.intended`: allowed, and about to be sent once (law 1).
        """
        fields = self._tell()
        fields["decision"] = "allow"
        return Rendered(_INTENDED, render_closing(fields))

    def ended(self, ending: Ending, now: float) -> Rendered:
        """
        `call.ended`: the attempt's outcome (law 2).

        Args:
            now: Monotonic seconds, on the clock of `started_at`.
        """
        fields: dict[str, object] = {
            "request_id": self.request_id,
            "attempt": self.attempt,
            "caller": self.standing.caller.name,
        }
        if self.operation is not None:
            fields["operation"] = self.operation.name
        if self.grant is not None:
            fields["credential"] = self.grant.credential.name
        if ending.reason is not None:
            fields["reason"] = ending.reason.code
        fields["outcome"] = ending.outcome
        if ending.upstream_status is not None:
            fields["upstream_status"] = ending.upstream_status
        if ending.noojee_code is not None:
            fields["noojee_code"] = ending.noojee_code
        if ending.reply_bytes is not None:
            fields["reply_bytes"] = ending.reply_bytes
        fields["duration_us"] = round((now - self.started_at) * 1_000_000)
        return Rendered(_ENDED, render_closing(fields))

    def _tell(self) -> dict[str, object]:
        """
        All that is known before the sending, in the order of the contract: it is rendered as it stands.
        """
        standing, grant = self.standing, self.grant
        fields: dict[str, object] = {
            "request_id": self.request_id,
            "attempt": self.attempt,
            "caller": standing.caller.name,
            "token_id": standing.token.token_id,
            "carrier": standing.carrier,
            "peer": self.peer,
        }
        if self.client is not None:
            fields["client"] = self.client
        if self.operation is not None:
            fields["operation"] = self.operation.name
        if grant is not None:
            fields["credential"] = grant.credential.name
            if grant.credential.owner is not None:
                fields["owner"] = grant.credential.owner
            fields["grant_id"] = grant.grant_id
        fields["policy_version"] = standing.snapshot.version
        if self.parameters is not None:
            fields["parameters"] = self.parameters
        if self.body_bytes is not None:
            fields["body_bytes"] = self.body_bytes
        if self.body_hmac is not None:
            fields["body_hmac"] = self.body_hmac
        return fields
