"""
One attempt: send, and bring the reply down.

A short reply is whole before anything goes down, so that its outcome is recorded first and a broken one becomes a 502.
A long one goes down as it comes, with back-pressure; when Noojee breaks off, the caller's connection is aborted, so
that what came cannot be taken for complete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.data_plane.call_record import Ending
from gateway.data_plane.inbound import CallerLeft, CallerStalled
from gateway.noojee.envelope import find_code, judge
from gateway.noojee.hash_pair import tells_expired_pair
from gateway.outcome import Outcome
from gateway.upstream.request import BUFFER_LIMIT_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.data_plane.answer import Answer
    from gateway.upstream.request import Reply, UpstreamRequest, Upstreams

__all__ = ["Exchange"]

_DOWN = frozenset(
    {
        b"content-type",
        b"content-encoding",
        b"content-disposition",
        b"retry-after",
        b"last-modified",
        b"etag",
    }
)
"""What comes down of a reply's headers (contract section 5); the length is the door's to write."""


class Exchange:
    """
    One attempt at one call.

    Args:
        upstreams: Whatever sends.
        request: The attempt; its intent is durable.
        answer: Where a long reply goes as it comes; a short one is left in `reply` for after its outcome is recorded.
    """

    def __init__(self, upstreams: Upstreams, request: UpstreamRequest, answer: Answer) -> None:
        self._upstreams = upstreams
        self._request = request
        self._answer = answer
        self.reply: Reply | None = None

    async def run(self) -> Ending:
        """
        Send, and wait until the reply is whole or has gone down.

        Raises:
            UpstreamError: When no whole reply came; the answer may have been started by then.
        """
        reply = await self._upstreams.send(self._request)
        try:
            if reply.body is not None:
                self.reply = reply
                is_judged = 200 <= reply.status < 300 or self.met_expired_pair  # noqa: PLR2004  # RFC 9110 section 15.3
                code = find_code(reply.body) if is_judged else None
                outcome = judge(self._request.operation, reply.status, code)
                return Ending(
                    outcome,
                    upstream_status=reply.status,
                    noojee_code=code if isinstance(code, int) else None,
                    reply_bytes=len(reply.body),
                )
            return await self._stream(reply)
        finally:
            await reply.close()

    @property
    def met_expired_pair(self) -> bool:
        """
        Whether a hash pair that had been accepted before was too old, and Noojee said nothing but that (law 2).

        The pair is looked at before the operation is, so nothing was carried out. Of a pair that was never accepted we
        do not know so much, and a longer reply is not the documented one.
        """
        body = self.reply.body if self.reply is not None else None
        if body is None or not self._request.used_accepted_pair:
            return False
        return len(body) <= BUFFER_LIMIT_BYTES and tells_expired_pair(body)

    def headers_down(self, reply: Reply) -> list[tuple[bytes, bytes]]:
        """
        What comes down of the reply's headers.
        """
        return [(name, value) for name, value in reply.headers if name in _DOWN]

    def interrupted(self) -> Outcome:
        """
        What is known after the exchange was cancelled: nothing but what the effect and the sender prove (law 2).
        """
        if self._request.operation.effect.is_abandonable:
            return Outcome.ABANDONED
        return Outcome.UNKNOWN if self._request.was_handed_over else Outcome.NOT_SENT

    @property
    def _is_abandoned(self) -> bool:
        """
        Whether a call whose caller has left is given up; not where all of the reply has come, which decides it.
        """
        return self._request.operation.effect.is_abandonable and not self._request.has_whole_reply

    async def _stream(self, reply: Reply) -> Ending:
        outcome = judge(self._request.operation, reply.status, None)
        size = 0
        left = False
        await self._answer.start(reply.status, self.headers_down(reply), length=_find_length(reply.headers))
        async for chunk in reply.chunks():
            if left:
                continue  # a write or dials: its outcome is known only at the reply's end
            try:
                await self._answer.write(chunk)
            except (CallerLeft, CallerStalled):
                left = True
                self._answer.abort()
                if self._is_abandoned:
                    return Ending(Outcome.ABANDONED, upstream_status=reply.status, reply_bytes=size)
            else:
                size += len(chunk)
        if not left:
            await self._answer.finish()
        return Ending(outcome, upstream_status=reply.status, reply_bytes=size)


def _find_length(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None
