"""
One line of the log for each call of a known caller, where an operator wants that (`GATEWAY_LOG_CALLS`).

The journal is the record; these lines are for whoever watches the log anyway. Strangers' requests have none, so that
nobody can fill a disk with them. No query, body, token or key is in a line: nothing of the request is but its size.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.data_plane.call_record import CallRecord, Ending
    from gateway.data_plane.inbound import Call
    from gateway.data_plane.running import RunningCall
    from gateway.errors import Reason

__all__ = ["FIELDS", "CallLog"]

_logger = logging.getLogger("gateway.calls")

FIELDS: Final = {
    "request_id": "As in the answer's X-Request-Id and on the journal.",
    "caller": "The caller's name.",
    "operation": "`Family/method`, or the path of one that was granted by its path; absent where none was named.",
    "attempt": "2 where the call was sent once more.",
    "outcome": "As on the journal, that of the last attempt; `denied` where nothing was to be sent.",
    "reason": "The reason of an answer of ours; `caller_left` for a caller that went away before its body was whole.",
    "status": "The status that the caller was answered with; absent where nobody was there to be answered.",
    "own_ms": "As the metric `call_own_seconds`; absent where it was denied.",
    "upstream_ms": "As the metric `call_upstream_seconds`; absent where it was denied.",
    "body_bytes": "The size of the request's body, when there was one.",
    "reply_bytes": "How much of the reply's body went down, when there was a reply.",
}
"""The fields of a line, in their order; one that is not known is left out."""


class CallLog:
    """
    Writes the lines, at level info.
    """

    def tell_end(self, record: CallRecord, ending: Ending, own_seconds: float) -> None:
        """
        A call that was allowed is over.
        """
        reason = ending.reason
        self._tell(
            request_id=record.request_id,
            caller=record.standing.caller.name,
            operation=record.operation.name if record.operation is not None else None,
            attempt=record.attempt if record.attempt > 1 else None,
            outcome=ending.outcome.value,
            reason=reason.code if reason is not None else None,
            status=reason.status if reason is not None else ending.upstream_status,
            own_ms=round(own_seconds * 1000, 3),
            upstream_ms=round(record.upstream_seconds * 1000, 3),
            body_bytes=record.body_bytes,
            reply_bytes=ending.reply_bytes,
        )

    def tell_denial(self, call: Call, running: RunningCall, reason: Reason | None, code: str) -> None:
        """
        A known caller was turned away.
        """
        self._tell(
            request_id=call.request_id,
            caller=running.standing.caller.name,
            operation=running.operation.name if running.operation is not None else None,
            outcome="denied",
            reason=code,
            status=reason.status if reason is not None else None,
        )

    def _tell(self, **fields: str | float | None) -> None:
        _logger.info("call", extra={name: value for name, value in fields.items() if value is not None})
