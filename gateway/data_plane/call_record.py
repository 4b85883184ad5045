"""
What the journal says of one call: its denial, or its intent and its outcome, joined by the request id.

Grows as the story learns more; renders events, and writes none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.audit.event import Tag

if TYPE_CHECKING:
    from gateway.access.grant import Grant
    from gateway.audit.event import Event
    from gateway.data_plane.authentication import Standing
    from gateway.errors import Reason
    from gateway.noojee.catalogue import Operation
    from gateway.outcome import Outcome

__all__ = ["CallRecord", "Ending"]


@dataclass(frozen=True, slots=True)
class Ending:
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

    def begin_again(self, now: float) -> None:
        """
        From here on it is the record of another attempt, with an intent and an outcome of its own.
        """
        self.attempt += 1
        self.started_at = now

    def denied(self, reason: str) -> Event:
        """
        `call.denied`: nothing was sent.
        """
        return self._event(Tag.CALL_DENIED, decision="deny", reason=reason)

    def intended(self) -> Event:
        """
        `call.intended`: allowed, and about to be sent once (law 1).
        """
        return self._event(Tag.CALL_INTENDED, attempt=self.attempt, decision="allow")

    def ended(self, ending: Ending, now: float) -> Event:
        """
        `call.ended`: the attempt's outcome (law 2).

        Args:
            now: Monotonic seconds, on the clock of `started_at`.
        """
        return _without_blanks(
            {
                "tag": Tag.CALL_ENDED,
                "request_id": self.request_id,
                "attempt": self.attempt,
                "caller": self.standing.caller.name,
                "operation": self.operation.name if self.operation else None,
                "credential": self.grant.credential.name if self.grant else None,
                "reason": ending.reason.code if ending.reason else None,
                "outcome": ending.outcome,
                "upstream_status": ending.upstream_status,
                "noojee_code": ending.noojee_code,
                "reply_bytes": ending.reply_bytes,
                "duration_us": round((now - self.started_at) * 1_000_000),
            }
        )

    def _event(self, tag: Tag, **more: object) -> Event:
        credential = self.grant.credential if self.grant else None
        return _without_blanks(
            {
                "tag": tag,
                "request_id": self.request_id,
                "caller": self.standing.caller.name,
                "token_id": self.standing.token.token_id,
                "carrier": self.standing.carrier,
                "peer": self.peer,
                "operation": self.operation.name if self.operation else None,
                "credential": credential.name if credential else None,
                "owner": credential.owner if credential else None,
                "grant_id": self.grant.grant_id if self.grant else None,
                "policy_version": self.standing.snapshot.version,
                "parameters": self.parameters,
                "body_bytes": self.body_bytes,
                "body_hmac": self.body_hmac,
                **more,
            }
        )


def _without_blanks(event: dict[str, object]) -> Event:
    return {name: value for name, value in event.items() if value is not None}
