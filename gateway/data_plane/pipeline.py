"""
One call, told downwards: authenticate, name the operation, decide, record the intent, send, record the outcome, answer.

Most laws meet here. Nothing leaves before its intent is durable (1); each intent gets one outcome, and what is not
proven is `unknown` (2); the kind of key is fixed by the operation and the grants (4, 6); a refusal has a status of 400
or more and is on the journal before it is told (7); what is decided on is what is sent (9). Knows no socket and no
file, and has no rule of its own.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.access.limits import Shortage
from gateway.audit.denials import DENIALS_LIMIT, find_seconds_left
from gateway.data_plane.call_record import CallRecord, Ending
from gateway.data_plane.deciding import RETRY_REGISTRY_SECONDS, RETRY_SOON_SECONDS
from gateway.data_plane.exchange import Exchange
from gateway.data_plane.inbound import CallerLeft
from gateway.data_plane.problem import render
from gateway.data_plane.running import RunningCall
from gateway.data_plane.tally import CALLER_LEFT
from gateway.errors import CallerError, Reason, StorageError, UpstreamError
from gateway.noojee.catalogue import Effect
from gateway.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.access.limits import Permit, Permits
    from gateway.audit.denials import Denials
    from gateway.audit.event import Rendered
    from gateway.audit.journal import Journal
    from gateway.clock import Clock
    from gateway.data_plane.answer import Answer
    from gateway.data_plane.authentication import Authenticator, Standing
    from gateway.data_plane.deciding import Deciding
    from gateway.data_plane.forwarded import Forwarding
    from gateway.data_plane.inbound import Call
    from gateway.data_plane.running import Running
    from gateway.data_plane.snapshots import Snapshots
    from gateway.data_plane.tally import Tally
    from gateway.upstream.request import UpstreamRequest, Upstreams

__all__ = ["Pipeline"]

_logger = logging.getLogger(__name__)


class Pipeline:
    """
    Leads calls. One for each worker; lives on its event loop.

    Args:
        journal: The worker's own stream.
        snapshots: Which version of the registry is in force.
        authenticator: From carriers to a caller.
        deciding: From a caller's call to what would be sent.
        upstreams: Whatever sends.
        running: The calls under way.
        permits: What callers have left of their limits.
        denials: Which denial gets a record of its own.
        clock: Tells the time.
        forwarding: Whose word is taken for where a call comes from.
        refused: Called with the reason, the peer and the client of each request without a valid token, to be counted.
        tally: Counts all of them, and calls.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        snapshots: Snapshots,
        authenticator: Authenticator,
        deciding: Deciding,
        upstreams: Upstreams,
        running: Running,
        permits: Permits,
        denials: Denials,
        clock: Clock,
        forwarding: Forwarding,
        refused: Callable[[Reason, str, str | None], None],
        tally: Tally,
    ) -> None:
        self._journal = journal
        self._snapshots = snapshots
        self._authenticator = authenticator
        self._deciding = deciding
        self._upstreams = upstreams
        self._running = running
        self._permits = permits
        self._denials = denials
        self._clock = clock
        self._forwarding = forwarding
        self._refused = refused
        self._tally = tally

    async def handle(self, call: Call, answer: Answer) -> None:
        """
        Serve one call from its head to its answer. Never raises for anything that a caller or Noojee does.
        """
        running = None
        try:
            standing = self._authenticate(call)
            running = RunningCall(standing, call.task)
            self._running.add(running)
            try:
                await self._serve(call, answer, running)
            finally:
                self._running.discard(running)
        except CallerError as refusal:
            self._tally.refuse(refusal.reason, call, running)
            await answer.send(*render(refusal.reason, call.request_id, refusal.detail, refusal.retry_after_seconds))
        except CallerLeft:
            self._tally.refuse(None, call, running)
            # Most likely nobody is there; but a caller may have closed its sending side alone, and then hears of it.
            await answer.send(*render(Reason.REQUEST_MALFORMED, call.request_id, "The body ended before its length."))
        except Exception:
            self._tally.refuse(Reason.INTERNAL_ERROR)  # what the door makes of it
            raise

    async def _serve(self, call: Call, answer: Answer, running: RunningCall) -> None:
        record = CallRecord(call.request_id, running.standing, call.peer, self._clock.monotonic(), client=call.client)
        try:
            request = await self._deciding.decide(call, running, record)
            permit = self._take_permit(record)
        except CallerError as refusal:
            await self._record_denial(record, refusal.reason)
            raise
        except CallerLeft:
            await self._record_denial(record, None)
            raise
        with permit:
            await self._record_and_send(call, answer, running, record, request)

    async def _record_and_send(
        self, call: Call, answer: Answer, running: RunningCall, record: CallRecord, request: UpstreamRequest
    ) -> None:
        """
        Steps 7 to 9: the intent, what comes of it, the answer.
        """
        await self._record(record.intended())
        try:
            # The intent is on disk. A crash from here on leaves it open, and recovery closes it as `unknown`.
            exchange, ending = await self._attempt(call, answer, running, record, request)
            if self._may_go_again(call, running, exchange, ending) and await self._record_again(record):
                # The same holds for the intent of attempt 2. Nothing goes a third time, whatever comes of this one.
                exchange, ending = await self._attempt(call, answer, running, record, request.again())
            await self._answer(call, answer, exchange, ending)
        finally:
            self._tally.end(record)

    def _authenticate(self, call: Call) -> Standing:
        """
        Step 2; every refusal here is of somebody without a valid token, and is counted rather than recorded.
        """
        try:
            call.client = self._forwarding.find_client(call.peer, call.headers)
            if call.method not in {"POST", "GET"}:
                raise CallerError(Reason.METHOD_NOT_ALLOWED)
            return self._authenticator.authenticate(
                self._snapshots.current, call.headers, call.query, call.peer, self._clock.now(), call.client
            )
        except CallerError as refusal:
            reason = refusal.reason
            if reason is Reason.TOKEN_MISSING and call.method == "GET":
                reason = Reason.METHOD_NOT_ALLOWED
            self._refused(reason, call.peer, call.client)
            raise (refusal if reason is refusal.reason else CallerError(reason)) from None

    async def _attempt(
        self, call: Call, answer: Answer, running: RunningCall, record: CallRecord, request: UpstreamRequest
    ) -> tuple[Exchange, Ending]:
        """
        Step 8, after its intent: send once, and record the outcome.
        """
        exchange = Exchange(self._upstreams, request, answer)
        record.sent_at = self._clock.monotonic()
        self._tally.open_intents += 1
        if not self._still_stands(running):
            overtaken = Ending(Outcome.NOT_SENT, Reason.CREDENTIAL_UNAVAILABLE)
            self._record_ending(record, overtaken)
            return exchange, overtaken
        ending: Ending | None = None
        try:
            ending = await self._exchange(exchange, call, running, request)
        except asyncio.CancelledError:
            ending = Ending(exchange.interrupted(), Reason.DRAINING)
            raise
        except Exception:
            _logger.exception("call %s met an error of ours", call.request_id)
        finally:
            ending = ending or Ending(exchange.interrupted(), Reason.INTERNAL_ERROR)
            self._record_ending(record, ending)
        return exchange, ending

    def _may_go_again(self, call: Call, running: RunningCall, exchange: Exchange, ending: Ending) -> bool:
        """
        Law 2: when no connection came about, and, but for `dials`, after an expired hash pair.

        Nothing else goes again, and these only while all still speaks for it.
        """
        operation = running.operation
        if operation is None or running.ended is not None:
            return False
        if ending.outcome is Outcome.NOT_SENT:
            # A certificate will be the same, and a queue that is full is not helped by who asks twice.
            is_due = ending.reason is Reason.UPSTREAM_UNREACHABLE and not call.has_left
        else:
            is_due = exchange.met_expired_pair and operation.effect is not Effect.DIALS
            is_due = is_due and not (operation.effect.is_abandonable and call.has_left)
        return is_due and self._deciding.still_allows(call, running)

    async def _record_again(self, record: CallRecord) -> bool:
        """
        The intent of another attempt. When it cannot be written there is none, and the reply that came is the answer.
        """
        record.begin_again(self._clock.monotonic())
        try:
            await self._journal.record(record.intended())
        except StorageError:
            return False
        self._tally.second_attempts += 1
        return True

    async def _answer(self, call: Call, answer: Answer, exchange: Exchange, ending: Ending) -> None:
        """
        Step 9, after its outcome: what the last attempt brought.
        """
        reply = exchange.reply
        if reply is not None and reply.body is not None:
            await answer.send(reply.status, exchange.headers_down(reply), reply.body)
        elif ending.reason is not None:
            await self._answer_lost(call, answer, ending)
        elif not answer.started:
            # Abandoned by its caller, most likely gone; whoever closed only its sending side hears of it (law 7).
            detail = "You closed the connection while the call was under way; it changed nothing."
            await answer.send(*render(Reason.REQUEST_TIMEOUT, call.request_id, detail))

    async def _exchange(self, exchange: Exchange, call: Call, running: RunningCall, request: UpstreamRequest) -> Ending:
        """
        Run the exchange until it is over, its caller has left (a read or long poll), or somebody ends it.
        """
        is_abandonable = request.operation.effect.is_abandonable
        if running.ended is None and not (is_abandonable and call.has_left):
            with running.interruptible(request) as interruption:
                if is_abandonable:
                    call.when_left(interruption.call)
                try:
                    return await exchange.run()
                except UpstreamError as error:
                    return Ending(
                        error.outcome, error.reason, upstream_status=error.upstream_status, detail=error.detail
                    )
        return Ending(exchange.interrupted(), running.ended)

    async def _answer_lost(self, call: Call, answer: Answer, ending: Ending) -> None:
        """
        Tell the caller that no whole reply came, and what is known of the call's fate.
        """
        if answer.started:
            answer.abort()
            return
        reason = ending.reason or Reason.INTERNAL_ERROR
        retry_after_seconds = None
        if reason in {Reason.DRAINING, Reason.UPSTREAM_BUSY}:
            retry_after_seconds = RETRY_SOON_SECONDS
        elif reason is Reason.CREDENTIAL_UNAVAILABLE:
            retry_after_seconds = RETRY_REGISTRY_SECONDS
        detail = ending.detail or UpstreamError(reason, ending.outcome).detail
        await answer.send(*render(reason, call.request_id, detail, retry_after_seconds))

    def _still_stands(self, running: RunningCall) -> bool:
        """
        Whether what was decided still holds after the wait for the disk: a revoke that was acknowledged meanwhile wins.
        """
        return self._snapshots.current is running.standing.snapshot or running.stands_in(self._snapshots.current)

    def _take_permit(self, record: CallRecord) -> Permit:
        """
        Step 6.
        """
        caller = record.standing.caller
        taken = self._permits.take(caller.name, caller.limits, self._clock.monotonic())
        if isinstance(taken, Shortage):
            raise CallerError(taken.reason, retry_after_seconds=taken.retry_after_seconds)
        return taken

    async def _record_denial(self, record: CallRecord, reason: Reason | None) -> None:
        """
        A denial is awaited like an intent: what cannot be recorded is answered with `audit_unavailable` instead.

        Beyond a minute's hundred it is counted instead of recorded, and the caller is told to slow down, unless its
        answer says so anyway (429) or is about us (5xx). A call that nothing speaks against is served all the same.

        Args:
            reason: Why; None for a caller that went away before its body was whole.
        """
        if reason is Reason.AUDIT_UNAVAILABLE:
            return
        now = self._clock.now()
        code = CALLER_LEFT if reason is None else reason.code
        if self._denials.note(record.standing.caller.name, code, now):
            await self._record(record.denied(code))
        elif reason is not None and reason.status < Reason.RATE_LIMITED.status:
            raise CallerError(
                Reason.RATE_LIMITED,
                f"This call was refused with {code}, and more than {DENIALS_LIMIT} of yours were within this minute. "
                "Set right what they are refused for; wait as long as Retry-After says.",
                retry_after_seconds=find_seconds_left(now),
            )

    async def _record(self, event: Rendered) -> None:
        try:
            await self._journal.record(event)
        except StorageError:
            raise CallerError(Reason.AUDIT_UNAVAILABLE, retry_after_seconds=RETRY_SOON_SECONDS) from None

    def _record_ending(self, record: CallRecord, ending: Ending) -> None:
        now = self._clock.monotonic()
        record.conclude(ending, now)
        self._tally.open_intents -= 1
        self._journal.record_soon(record.ended(ending, now))
