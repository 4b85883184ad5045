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
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar

from gateway.access.policy import decide, resolve
from gateway.data_plane.authentication import renew
from gateway.data_plane.call_record import CallRecord, Ending
from gateway.data_plane.content import Content, read_content
from gateway.data_plane.exchange import Exchange
from gateway.data_plane.inbound import CallerLeft
from gateway.data_plane.problem import render
from gateway.data_plane.running import Running, RunningCall
from gateway.errors import CallerError, Reason, StorageError, UpstreamError
from gateway.noojee.catalogue import Effect
from gateway.noojee.parameters import (
    POLL_DEFAULT_SECONDS,
    parse_parameters,
    parse_poll_seconds,
    split_target,
    strip_credentials,
)
from gateway.outcome import Outcome
from gateway.upstream.request import UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.access.policy import Decision
    from gateway.audit.event import Event
    from gateway.audit.journal import Journal
    from gateway.audit.redaction import Redactor
    from gateway.clock import Clock
    from gateway.data_plane.answer import Answer
    from gateway.data_plane.authentication import Authenticator, Standing
    from gateway.data_plane.inbound import Call
    from gateway.data_plane.snapshots import Snapshots
    from gateway.noojee.catalogue import Catalogue, Operation
    from gateway.upstream.request import Timeouts, Upstreams

__all__ = ["Pipeline"]

T = TypeVar("T")

_logger = logging.getLogger(__name__)

_RETRY_DRAINING_SECONDS = 5
_RETRY_REGISTRY_SECONDS = 60
_PASSED_UP = (b"accept", b"accept-language")
_LEFT = "caller_left"
"""The reason of a denial nobody heard: the caller went away before its body was whole."""


class Pipeline:
    """
    Leads calls. One for each worker; lives on its event loop.

    Args:
        journal: The worker's own stream.
        snapshots: Which version of the registry is in force.
        authenticator: From carriers to a caller.
        catalogue: The operations there are.
        redactor: What the journal may say of parameters and bodies.
        upstreams: Whatever sends.
        timeouts: How long Noojee may take.
        clock: Tells the time.
        refused: Called with the reason of each request without a valid token, to be counted.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        snapshots: Snapshots,
        authenticator: Authenticator,
        catalogue: Catalogue,
        redactor: Redactor,
        upstreams: Upstreams,
        timeouts: Timeouts,
        clock: Clock,
        refused: Callable[[Reason], None],
    ) -> None:
        self._journal = journal
        self._snapshots = snapshots
        self._authenticator = authenticator
        self._catalogue = catalogue
        self._redactor = redactor
        self._upstreams = upstreams
        self._timeouts = timeouts
        self._clock = clock
        self._refused = refused
        self.running = Running()
        self.draining = False

    async def handle(self, call: Call, answer: Answer) -> None:
        """
        Serve one call from its head to its answer. Never raises for anything that a caller or Noojee does.
        """
        try:
            standing = self._authenticate(call)
            running = RunningCall(standing)
            self.running.add(running)
            try:
                await self._serve(call, answer, running)
            finally:
                self.running.discard(running)
        except CallerError as refusal:
            await answer.send(*render(refusal.reason, call.request_id, refusal.detail, refusal.retry_after_seconds))
        except CallerLeft:
            pass  # nobody is there to be answered

    async def _serve(self, call: Call, answer: Answer, running: RunningCall) -> None:
        record = CallRecord(call.request_id, running.standing, call.peer, self._clock.monotonic())
        try:
            request = await self._decide(call, running, record)
        except CallerError as refusal:
            await self._record_denial(record, refusal.reason.code)
            raise
        except CallerLeft:
            await self._record_denial(record, _LEFT)
            raise
        await self._record(record.intended())
        # The intent is on disk. A crash from here on leaves it open, and recovery closes it as `unknown`.
        if not self._still_stands(running):
            ending = Ending(Outcome.NOT_SENT, Reason.CREDENTIAL_UNAVAILABLE)
            self._record_ending(record, ending)
            await self._answer_lost(call, answer, ending)
            return
        await self._carry_out(call, answer, running, record, request)

    def _authenticate(self, call: Call) -> Standing:
        """
        Step 2; every refusal here is of somebody without a valid token, and is counted rather than recorded.
        """
        try:
            if call.method not in {"POST", "GET"}:
                raise CallerError(Reason.METHOD_NOT_ALLOWED)
            _, query = split_target(call.target)
            return self._authenticator.authenticate(
                self._snapshots.current, call.headers, query, call.peer, self._clock.now()
            )
        except CallerError as refusal:
            reason = refusal.reason
            if reason is Reason.TOKEN_MISSING and call.method == "GET":
                reason = Reason.METHOD_NOT_ALLOWED
            self._refused(reason)
            raise (refusal if reason is refusal.reason else CallerError(reason)) from None

    async def _decide(self, call: Call, running: RunningCall, record: CallRecord) -> UpstreamRequest:
        """
        Steps 3 to 5, in the order in which refusals are told (contract section 4).
        """
        self._check_serving()
        self._check_caller(call, record.standing)
        if call.method != "POST":
            raise CallerError(Reason.METHOD_NOT_ALLOWED)
        path, raw_query = split_target(call.target)
        operation = record.operation = running.operation = self._name_operation(path)
        resolved = _allowed(resolve(record.standing.caller, operation), record)
        content = read_content(operation, call.headers, await _unless_ended(running, call.body()))
        if record.standing.snapshot is not self._snapshots.current:
            # Something changed while the body was on the way: decide by what is in force now.
            record.standing = running.standing = renew(running.standing, self._snapshots.current, self._clock.now())
            resolved = _allowed(resolve(record.standing.caller, operation), record)
        query = strip_credentials(raw_query)
        parameters = parse_parameters(operation, query, content.form)
        record.parameters = self._redactor.render_parameters(operation, parameters, record.standing.caller.name)
        if content.body:
            record.body_bytes = len(content.body)
            record.body_hmac = self._redactor.mark_body(content.body, record.standing.caller.name)
        grant = _allowed(decide(resolved, operation, parameters), record).grant
        if grant is None:
            raise CallerError(Reason.OPERATION_NOT_GRANTED)
        running.grant = record.grant = grant
        poll_seconds = parse_poll_seconds(parameters) if operation.effect is Effect.LONG_POLL else POLL_DEFAULT_SECONDS
        return UpstreamRequest(
            credential=grant.credential,
            operation=operation,
            query=query,
            headers=_headers_up(call, content),
            body=content.body,
            patience=self._timeouts.for_call(operation, poll_seconds),
        )

    def _check_serving(self) -> None:
        if not self._journal.writable:
            raise CallerError(Reason.AUDIT_UNAVAILABLE, retry_after_seconds=_RETRY_DRAINING_SECONDS)
        if self._snapshots.is_stale():
            raise CallerError(Reason.SNAPSHOT_STALE, retry_after_seconds=_RETRY_REGISTRY_SECONDS)
        if self.draining:
            raise _draining()

    def _check_caller(self, call: Call, standing: Standing) -> None:
        caller = standing.caller
        if caller.networks and not caller.allows_network(ip_address(call.peer)):
            raise CallerError(Reason.NETWORK_NOT_ALLOWED)
        if standing.in_query and not caller.query_token_allowed:
            raise CallerError(Reason.QUERY_TOKEN_NOT_ALLOWED)

    def _name_operation(self, path: bytes) -> Operation:
        operation = self._catalogue.find_by_path(path)
        if operation is None:
            raise CallerError(Reason.OPERATION_UNKNOWN)
        return operation

    async def _carry_out(
        self, call: Call, answer: Answer, running: RunningCall, record: CallRecord, request: UpstreamRequest
    ) -> None:
        """
        Steps 8 and 9: send, record the outcome, answer.
        """
        exchange = Exchange(self._upstreams, request, answer)
        ending = Ending(exchange.interrupted(), Reason.INTERNAL_ERROR)
        try:
            ending = await self._watch(exchange, call, running)
        except asyncio.CancelledError:
            ending = Ending(exchange.interrupted(), Reason.DRAINING)
            raise
        except Exception:
            _logger.exception("call %s met an error of ours", call.request_id)
            ending = Ending(exchange.interrupted(), Reason.INTERNAL_ERROR)
        finally:
            self._record_ending(record, ending)
        reply = exchange.reply
        if reply is not None and reply.body is not None:
            await answer.send(reply.status, exchange.headers_down(reply), reply.body)
        elif ending.reason is not None:
            await self._answer_lost(call, answer, ending)

    async def _watch(self, exchange: Exchange, call: Call, running: RunningCall) -> Ending:
        """
        Run the exchange until it is over, its caller has left (a read or long poll), or somebody ends it.
        """
        sending = asyncio.ensure_future(exchange.run())
        waits: set[asyncio.Future[object]] = {sending, running.ended}  # type: ignore[arg-type]  # futures are covariant in use here
        leaving = None
        if running.operation is not None and running.operation.effect.is_abandonable:
            leaving = asyncio.ensure_future(call.left.wait())
            waits.add(leaving)  # type: ignore[arg-type]  # the same
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if leaving is not None:
                leaving.cancel()
            if not sending.done():
                sending.cancel()
            await asyncio.wait({sending})
        if not sending.cancelled():
            try:
                return sending.result()
            except UpstreamError as error:
                return Ending(error.outcome, error.reason, upstream_status=error.upstream_status)
        return Ending(exchange.interrupted(), running.ended.result() if running.ended.done() else None)

    async def _answer_lost(self, call: Call, answer: Answer, ending: Ending) -> None:
        """
        Tell the caller that no whole reply came, and what is known of the call's fate.
        """
        if answer.started:
            answer.abort()
            return
        reason = ending.reason or Reason.INTERNAL_ERROR
        retry_after_seconds = None
        if reason is Reason.DRAINING:
            retry_after_seconds = _RETRY_DRAINING_SECONDS
        elif reason is Reason.CREDENTIAL_UNAVAILABLE:
            retry_after_seconds = _RETRY_REGISTRY_SECONDS
        detail = UpstreamError(reason, ending.outcome).detail
        await answer.send(*render(reason, call.request_id, detail, retry_after_seconds))

    def _still_stands(self, running: RunningCall) -> bool:
        """
        Whether what was decided still holds after the wait for the disk: a revoke that was acknowledged meanwhile wins.
        """
        return self._snapshots.current is running.standing.snapshot or self.stands(running)

    def stands(self, running: RunningCall) -> bool:
        """
        Whether the snapshot in force still has the call's token, and its grant with an available credential.
        """
        snapshot = self._snapshots.current
        token = snapshot.tokens.get(running.standing.digest)
        caller = snapshot.callers.get(token.caller_name) if token is not None else None
        if caller is None or running.grant is None:
            return caller is not None
        return any(grant == running.grant and grant.credential.is_available for grant in caller.grants)

    async def _record_denial(self, record: CallRecord, reason: str) -> None:
        """
        A denial is awaited like an intent: what cannot be recorded is answered with `audit_unavailable` instead.
        """
        if reason != Reason.AUDIT_UNAVAILABLE.code:
            await self._record(record.denied(reason))

    async def _record(self, event: Event) -> None:
        try:
            await self._journal.record(event)
        except StorageError:
            raise CallerError(Reason.AUDIT_UNAVAILABLE, retry_after_seconds=_RETRY_DRAINING_SECONDS) from None

    def _record_ending(self, record: CallRecord, ending: Ending) -> None:
        self._journal.record_soon(record.ended(ending, self._clock.monotonic()))


async def _unless_ended(running: RunningCall, coroutine: Coroutine[object, object, T]) -> T:
    """
    The coroutine's result, unless somebody ends the call first.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        await asyncio.wait({task, running.ended}, return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]  # two kinds of future
    finally:
        if not task.done():
            task.cancel()
    if not task.done():
        raise _draining()
    return task.result()


def _allowed(decision: Decision, record: CallRecord) -> Decision:
    """
    The decision, or its denial as the refusal that the caller gets.
    """
    if decision.reason is None:
        return decision
    record.grant = decision.grant
    detail = None
    if decision.rule is not None:
        detail = f"{decision.reason.advice} The rule is {decision.rule}."
    raise CallerError(decision.reason, detail)


def _headers_up(call: Call, content: Content) -> list[tuple[bytes, bytes]]:
    headers = [(name, value) for name, value in call.headers if name in _PASSED_UP and value.isascii()]
    if content.content_type is not None:
        headers.append((b"Content-Type", content.content_type))
    return headers


def _draining() -> CallerError:
    return CallerError(
        Reason.DRAINING,
        f"{Reason.DRAINING.advice}; {Outcome.NOT_SENT.fate}.",
        retry_after_seconds=_RETRY_DRAINING_SECONDS,
    )
