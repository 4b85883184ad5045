r"""
The callers' door: one connection from its first byte to its close. It parses, bounds and writes, and knows no rule.

    IDLE -> HEAD -> CALL -> (FLUSH ->) IDLE ...       one call at a time, in order
              \      \
    FULL ------\------\--> LINGER -> CLOSED            the last answer of a connection, or its only one

Bytes wait in one buffer and each phase takes what is its own from the front: `Head` the head, `Body` the body. What
follows stays unread until the answer before it is out, so a pipelined request can spoil nothing but itself. Reading
never stops while a call runs, unless much waits, because a FIN or a reset is seen only by who reads.

Laws: 7 (once a request's first byte was read, it is answered, unless its caller left) and 9 (a head is judged from
exactly the bytes that are handed on). Why it stands on asyncio and not on uvicorn's protocol class, and what it takes
from whom, is told in docs/decisions/0002-the-callers-door.md.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import traceback
from typing import TYPE_CHECKING, Any, Final

from gateway.clock import create_request_id
from gateway.data_plane.answer import Answer
from gateway.data_plane.arrival import Arrival
from gateway.data_plane.body import Body, ChunkedBody, EmptyBody, SizedBody
from gateway.data_plane.bounds import Bounds
from gateway.data_plane.hall import Admission, Hall
from gateway.data_plane.head import Head
from gateway.data_plane.inbound import Call, CallerLeft, CallerStalled
from gateway.data_plane.wire import Wire
from gateway.deadline import Deadline
from gateway.errors import CallerError, Reason
from gateway.outcome import Outcome

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

__all__ = ["Bounds", "Door", "Hall"]

_logger = logging.getLogger(__name__)

_NO_BODY: Final = EmptyBody()
_RETRY_SECONDS: Final = 5
"""When to try again what was refused because the worker ends."""


class _Phase(enum.Enum):
    FULL = enum.auto()  # above the cap: the first byte gets 503
    IDLE = enum.auto()  # no byte of a request came yet
    HEAD = enum.auto()  # some did
    CALL = enum.auto()  # a call is under way, its body perhaps still coming
    FLUSH = enum.auto()  # its answer is out, and more of it waits than we let wait
    LINGER = enum.auto()  # the last answer is out; what comes is dropped, so that no reset takes the answer away
    CLOSED = enum.auto()  # closing: what was written is being taken


class Door(asyncio.Protocol):
    """
    One caller's connection. The arguments behind `hall` are those of uvicorn's protocol classes, whose server runs it.
    """

    def __init__(
        self,
        hall: Hall,
        config: Config,  # noqa: ARG002 - uvicorn's signature
        server_state: ServerState,
        app_state: dict[str, Any],  # noqa: ARG002 - the same
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._hall = hall
        self._bounds = hall.bounds
        self._connections: set[Any] = server_state.connections
        self._loop = _loop or asyncio.get_running_loop()
        self._wire: Wire = None  # type: ignore[assignment] # set by connection_made, before anything else is called
        self._deadline = Deadline(self._loop, self._expire)
        self._phase = _Phase.IDLE
        self._buffer = bytearray()
        self._dropped_bytes = 0
        self._head: Head | None = None
        self._call: Call | None = None
        self._answer: Answer | None = None
        self._task: asyncio.Task[None] | None = None
        self._body: Body = _NO_BODY
        self._keeps_alive = False
        self._has_eof = False
        self._admission = Admission.CLOSED
        self._arrival: Arrival | None = None  # of a body that was not here when its call asked for it, or is large

    def __repr__(self) -> str:
        return f"<Door {self._phase.name} {self._call!r}>"

    # --- what the transport tells -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what a server hands over
        """
        Accepted, and over TLS shaken hands.
        """
        self._wire = Wire(transport, self._loop, high_water_bytes=self._bounds.waiting_bytes)
        self._connections.add(self)
        self._admission = self._hall.enter(self, self._wire.peer)
        if self._admission is Admission.SERVED:
            self._deadline.set(self._bounds.head_seconds)
        elif self._admission is Admission.REFUSED:
            self._phase = _Phase.FULL
            self._deadline.set(self._bounds.linger_seconds)
        else:
            self._phase = _Phase.CLOSED
            self._wire.abort()

    def data_received(self, data: bytes) -> None:
        """
        Bytes came.
        """
        phase = self._phase
        if phase is _Phase.LINGER:
            self._drop(len(data))
            return
        if phase is _Phase.CLOSED:
            return
        self._buffer += data
        if phase is _Phase.IDLE or phase is _Phase.HEAD:
            self._read_head()
        elif phase is _Phase.FULL:
            self._refuse(CallerError(Reason.CONNECTIONS_EXHAUSTED, retry_after_seconds=1))
        else:
            self._let_wait()

    def eof_received(self) -> bool:
        """
        The caller closed its sending side, or all of it: a FIN does not tell which. Returns whether we stay open.
        """
        self._has_eof = True
        self._tell_left()
        if not self._wire.can_half_close:
            return False
        if self._phase is _Phase.HEAD:
            self._refuse_half_a_head()
            return True
        return self._phase is _Phase.CALL or self._phase is _Phase.FLUSH

    def connection_lost(self, exc: Exception | None) -> None:
        """
        The connection is gone.
        """
        del exc
        self._wire.is_lost = True
        self._phase = _Phase.CLOSED
        self._connections.discard(self)
        self._hall.leave(self, self._wire.peer, self._admission)
        self._buffer.clear()
        self._deadline.close()
        self._tell_left()
        self.resume_writing()

    def pause_writing(self) -> None:
        """
        More waits to be taken by the caller than the high-water mark allows.
        """
        self._wire.writing_paused = True

    def resume_writing(self) -> None:
        """
        The caller took enough of it, or is gone.
        """
        self._wire.resume_writing()
        if self._phase is _Phase.FLUSH:
            self._rest()

    # --- what a call and its answer ask for ---------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """
        Whether the connection was made, over TLS by a handshake; it may be lost by now.
        """
        return self._wire is not None

    @property
    def is_gone(self) -> bool:
        """
        Whether nothing that is written now can reach the caller.
        """
        return self._wire.is_gone

    async def receive_body(self, body: Body, *, whose: str, expects_continue: bool) -> None:
        """
        Return once the body is whole; see `Call.body`.
        """
        is_whole = body.read(self._buffer)
        if is_whole and len(body.content) <= self._bounds.waiting_bytes:
            self._let_wait()
            return
        if self._arrival is None:
            self._arrival = Arrival(body, self._buffer, self._hall.room, whose=whose, bounds=self._bounds)
        if not is_whole:
            await self._wait_for_body(self._arrival, expects_continue=expects_continue)
        self._arrival.settle()
        self._let_wait()

    async def _wait_for_body(self, arrival: Arrival, *, expects_continue: bool) -> None:
        if self._has_eof or self.is_gone:
            raise CallerLeft
        self._deadline.set(self._bounds.body_seconds)
        if self._hall.ends_connections:
            self._deadline.shorten(self._bounds.last_body_seconds)
        try:
            await arrival.wait(self._wire, expects_continue=expects_continue)
        finally:
            self._deadline.clear()

    def send(self, data: bytes) -> bool:
        """
        Hand bytes to the transport; false when the connection is gone.
        """
        return self._wire.send(data)

    async def drain(self) -> None:
        """
        Return when the transport's buffer is below its high-water mark; see `Answer.write`.
        """
        await self._wire.drain(self._bounds.stalled_seconds)

    def is_last_answer(self) -> bool:
        """
        Whether the connection must end with the answer whose head is about to be written.

        A body that nobody asked for and that is here already is dropped; one that is still coming ends the connection,
        since waiting for it would make the answer late.
        """
        if not self._has_whole_body():
            self._keeps_alive = False
        return not self._keeps_alive or self._hall.ends_connections or (self._has_eof and not self._buffer)

    def abort(self) -> None:
        """
        Reset the connection, dropping what was not sent.
        """
        self._phase = _Phase.CLOSED
        self._wire.reset()

    # --- what the server asks for -------------------------------------------------------------------------------------

    def close_if_idle(self) -> None:
        """
        Close the connection if no request is on its way.

        Bytes that lie in the kernel unread are a request that was already sent: closing over them would be a reset in
        place of an answer (1 call in 6,000 in a rolling restart, facts.md), so it is read and answered as the last.
        """
        if self._phase is not _Phase.IDLE and self._phase is not _Phase.FULL:
            return
        if self._wire.count_unread_bytes():
            self._deadline.set(self._bounds.linger_seconds)
        else:
            self._close(self._bounds.linger_seconds)

    def let_go(self) -> None:
        """
        Close the connection if it is idle; one that is fresh only after a moment, for its caller is about to send.
        """
        is_fresh = not self._keeps_alive  # as long as it is idle: the first call's head sets it
        if self._phase is _Phase.IDLE and is_fresh:
            self._deadline.set(self._bounds.linger_seconds)
        else:
            self.close_if_idle()

    def hurry(self) -> None:
        """
        Leave a body that is still coming but a moment: nothing was sent for its call, and nobody ends before it does.
        """
        if self._arrival is not None and self._arrival.is_awaited:
            self._deadline.shorten(self._bounds.last_body_seconds)

    def shutdown(self) -> None:
        """
        End what is not a call under way: uvicorn's word for the end of serving. A half-received head gets its 503.
        """
        if self._phase is _Phase.HEAD:
            self._refuse(CallerError(Reason.DRAINING, retry_after_seconds=_RETRY_SECONDS))
        else:
            self.let_go()

    # --- one request after another ------------------------------------------------------------------------------------

    def _read_head(self) -> None:
        head = self._head
        if head is None:
            head = self._head = Head(self._bounds)
        try:
            is_whole = head.read(self._buffer)
        except CallerError as refusal:
            self._refuse(refusal)
            return
        if is_whole:
            self._begin_call(head)
        elif head.is_begun and self._phase is _Phase.IDLE:
            self._phase = _Phase.HEAD
            self._deadline.set(self._bounds.head_seconds)

    def _begin_call(self, head: Head) -> None:
        self._head = None
        self._phase = _Phase.CALL
        self._deadline.clear()
        self._keeps_alive = head.keep_alive
        if head.declared_length is None:
            self._body = ChunkedBody(self._bounds)
        else:
            self._body = SizedBody(head.declared_length) if head.declared_length else _NO_BODY
        request_id = create_request_id()
        call = self._call = Call(self, head, self._body, request_id=request_id, peer=self._wire.peer)
        if self._has_eof:
            call.leave()
        answer = self._answer = Answer(self, request_id, method=head.method, http_version=head.version)
        task = self._task = call.task = self._loop.create_task(self._serve(call, answer))
        self._hall.running.add(task)
        task.add_done_callback(self._forget)
        self._let_wait()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._hall.running.discard(task)
        if task is self._task and self._answer is not None:
            # It was cancelled before its first step, so that nothing in `_serve` could run.
            self._answer_late(self._answer, CallerError(Reason.DRAINING, retry_after_seconds=_RETRY_SECONDS))
            self._end_call(self._answer)

    async def _serve(self, call: Call, answer: Answer) -> None:
        try:
            await self._hall.serve(call, answer)
        except CallerLeft:
            pass
        except CallerStalled:
            answer.abort()
        except CallerError as refusal:
            self._hall.refused(refusal.reason, self._wire.peer)
            self._answer_late(answer, refusal)
        except asyncio.CancelledError:
            fate = "The gateway stopped before the call's fate was known: look before you repeat it."
            self._answer_late(answer, CallerError(Reason.DRAINING, fate))
            raise
        except Exception as error:  # noqa: BLE001 - the edge: a bug ends one call, not the worker
            _log_bug(error, call)
            self._answer_late(answer, CallerError(Reason.INTERNAL_ERROR))
        finally:
            self._end_call(answer)

    def _answer_late(self, answer: Answer, refusal: CallerError) -> None:
        if answer.started:
            answer.abort()
        else:
            answer.refuse_now(refusal)

    def _end_call(self, answer: Answer) -> None:
        """
        The answer is out, or never will be.
        """
        if not answer.finished and not self.is_gone:
            if answer.started or self._has_eof:
                answer.abort()
            else:
                _logger.error("a call ended without an answer: request %s", answer.request_id)
                answer.refuse_now(CallerError(Reason.INTERNAL_ERROR))
        self._call = self._answer = self._task = None
        if self._phase is _Phase.CALL and answer.is_last:
            self._leave()
        # A body must not be kept by a connection that idles.
        self._body = _NO_BODY
        if self._arrival is not None:
            self._arrival.close()
            self._arrival = None
        if self._phase is not _Phase.CALL:
            return
        if self._wire.writing_paused:
            # Another answer on top would let a caller who never reads grow our buffer without end.
            self._phase = _Phase.FLUSH
            self._await_progress(self._bounds.stalled_seconds)
        else:
            self._rest()

    def _rest(self) -> None:
        """
        Ready for the next request, which may be here already.
        """
        self._phase = _Phase.IDLE
        self._wire.resume_reading()
        if self._buffer:
            self._read_head()
        if self._phase is _Phase.IDLE:
            self._deadline.set(self._bounds.keep_alive_seconds)
            if self._hall.draining:
                self.close_if_idle()
        if self._has_eof and self._phase is _Phase.HEAD:
            self._refuse_half_a_head()
        elif self._has_eof and self._phase is _Phase.IDLE:
            self._close(self._bounds.stalled_seconds)

    def _let_wait(self) -> None:
        """
        Bytes came while a call runs: its body's, if it is wanted, or the next request's, which waits.
        """
        if self._arrival is not None and self._arrival.is_awaited:
            self._arrival.read()
        elif len(self._buffer) > self._bounds.waiting_bytes:
            self._wire.pause_reading()

    def _has_whole_body(self) -> bool:
        try:
            return self._body.read(self._buffer)
        except CallerError:
            return False  # where it ends cannot be known

    def _tell_left(self) -> None:
        if self._call is not None:
            self._call.leave()
        if self._arrival is not None:
            self._arrival.fail(CallerLeft())

    # --- refusing and leaving -----------------------------------------------------------------------------------------

    def _refuse(self, refusal: CallerError) -> None:
        """
        Answer what never became a call, and leave.
        """
        self._hall.refused(refusal.reason, self._wire.peer)
        method = self._head.render_method() if self._head is not None else ""
        self._keeps_alive = False
        self._body = _NO_BODY
        answer = Answer(self, create_request_id(), method=method, http_version="1.1")
        answer.refuse_now(refusal)
        self._linger()

    def _refuse_half_a_head(self) -> None:
        """
        Its rest will not come: told, because whoever closed its sending side alone can hear it (law 7).
        """
        self._refuse(CallerError(Reason.REQUEST_MALFORMED, "The request ended before its head was complete."))

    def _leave(self) -> None:
        """
        The last answer is out: close, and linger first if anything else of the caller's may be on its way.
        """
        if self._has_eof or (self._has_whole_body() and not self._buffer):
            # Not sooner: over TLS more may wait than `unsent_bytes` tells.
            self._close(self._bounds.stalled_seconds)
        else:
            self._linger()

    def _linger(self) -> None:
        """
        Close our side, then read and drop for a moment.

        A socket closed over unread bytes sends a reset, which takes the answer from the caller's receive buffer; the
        JDK then sends the POST again (facts.md). Over TLS our side cannot be closed alone, so only the time runs.
        """
        self._phase = _Phase.LINGER
        self._head = None
        self._buffer.clear()
        self._wire.resume_reading()
        self._deadline.set(self._bounds.linger_seconds)
        if self._has_eof:
            self._close(self._bounds.stalled_seconds)
        elif self._wire.can_half_close:
            self._wire.half_close()

    def _drop(self, size: int) -> None:
        self._dropped_bytes += size
        if self._dropped_bytes > self._bounds.linger_bytes:
            self._close(self._bounds.stalled_seconds)

    def _close(self, patience_seconds: float) -> None:
        """
        Close once what was written is taken; with nothing left to take, wait so long for the caller's own goodbye.
        """
        self._phase = _Phase.CLOSED
        self._await_progress(self._bounds.stalled_seconds if self._wire.unsent_bytes else patience_seconds)
        self._wire.close()

    # --- time ---------------------------------------------------------------------------------------------------------

    def _expire(self) -> None:
        if self._phase is _Phase.HEAD:
            self._refuse(CallerError(Reason.REQUEST_TIMEOUT))
        elif self._phase is _Phase.CALL:
            if self._arrival is not None:
                self._arrival.fail(self._create_late_refusal())
        elif self._phase is _Phase.LINGER:
            self._close(self._bounds.linger_seconds)
        elif self._phase is _Phase.FLUSH or self._phase is _Phase.CLOSED:
            self._see_progress()
        else:
            self.close_if_idle()

    def _create_late_refusal(self) -> CallerError:
        if self._hall.ends_connections:
            detail = f"{Reason.DRAINING.advice}; {Outcome.NOT_SENT.fate}."
            return CallerError(Reason.DRAINING, detail, retry_after_seconds=_RETRY_SECONDS)
        return CallerError(Reason.REQUEST_TIMEOUT)

    def _await_progress(self, seconds: float) -> None:
        """
        Give the caller time to take some of what waits.
        """
        self._wire.mark_progress()
        self._deadline.set(seconds)

    def _see_progress(self) -> None:
        if not self._wire.unsent_bytes:
            self._wire.abort()  # all was said but the caller's own goodbye
        elif self._wire.has_progressed():
            self._await_progress(self._bounds.stalled_seconds)
        else:
            self.abort()


def _log_bug(error: Exception, call: Call) -> None:
    """
    Where and what kind, never the exception's text or any value, which may hold a secret (law 3).
    """
    frames = traceback.extract_tb(error.__traceback__)
    where = " > ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    _logger.error("a call ended in %s: request %s: %s", type(error).__qualname__, call.request_id, where)
