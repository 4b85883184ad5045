"""
Steps 3 to 5 of a call: name the operation, resolve the grants, read the body, decide. Ends in what would be sent.

Acts on nothing: it reads the call, asks the rules, and either raises a refusal or returns the upstream request. Law 9
holds here: parameters are read from the very bytes that the request carries.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from gateway.access.policy import decide
from gateway.data_plane.authentication import renew
from gateway.data_plane.content import Content, read_content
from gateway.data_plane.coverage import Coverages
from gateway.errors import CallerError, Reason
from gateway.noojee.parameters import (
    parse_parameters,
    parse_poll_seconds,
    strip_credentials,
)
from gateway.outcome import Outcome
from gateway.upstream.request import UpstreamRequest

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from gateway.access.grant import Grant
    from gateway.access.policy import Decision
    from gateway.audit.journal import Journal
    from gateway.audit.redaction import Redactor
    from gateway.clock import Clock
    from gateway.data_plane.authentication import Standing
    from gateway.data_plane.call_record import CallRecord
    from gateway.data_plane.coverage import Coverage
    from gateway.data_plane.inbound import Call
    from gateway.data_plane.running import Running, RunningCall
    from gateway.data_plane.snapshots import Snapshots
    from gateway.noojee.catalogue import Catalogue
    from gateway.noojee.parameters import Parameter
    from gateway.upstream.request import Timeouts

__all__ = ["RETRY_REGISTRY_SECONDS", "RETRY_SOON_SECONDS", "Deciding"]

RETRY_SOON_SECONDS = 5
"""`Retry-After` for what passes by itself: a restart, a full disk."""

RETRY_REGISTRY_SECONDS = 60
"""`Retry-After` for what an operator must set right."""

_PASSED_UP = (b"accept", b"accept-language")


class Deciding:
    """
    Decides calls for one worker.

    Args:
        journal: Asked only whether it can be written.
        snapshots: Which version of the registry is in force.
        catalogue: The operations there are.
        redactor: What the journal may say of parameters and bodies.
        timeouts: How long Noojee may take.
        clock: Tells the time.
        running: Asked only whether new calls are still taken.
        number_country: The calling code by which telephone numbers are compared.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        snapshots: Snapshots,
        catalogue: Catalogue,
        redactor: Redactor,
        timeouts: Timeouts,
        clock: Clock,
        running: Running,
        number_country: str,
    ) -> None:
        self._journal = journal
        self._snapshots = snapshots
        self._coverages = Coverages(catalogue, timeouts)
        self._redactor = redactor
        self._timeouts = timeouts
        self._clock = clock
        self._running = running
        self._number_country = number_country

    async def decide(self, call: Call, running: RunningCall, record: CallRecord) -> UpstreamRequest:
        """
        The upstream request that the call has come to, with what was learnt on the way written to `record`.

        Refusals are told in the order of contract section 4: the caller learns of the operation only when it may know
        of it, and the body is read only when nothing else speaks against the call.

        Raises:
            CallerError: The refusal; nothing was sent.
            CallerLeft: The caller went away before its body was whole.
        """
        self._check_serving()
        self._check_caller(call, record.standing)
        if call.method != "POST":
            raise CallerError(Reason.METHOD_NOT_ALLOWED)
        coverage = self._coverages.find(record.standing, call.path)
        operation = record.operation = running.operation = coverage.operation
        _allowed(coverage.resolved, record)
        content = read_content(operation, call.headers, await self._read_body(call, running, record))
        if record.standing.snapshot is not self._snapshots.current:
            # Something changed while the body was on the way: decide by what is in force now.
            record.standing = running.standing = renew(running.standing, self._snapshots.current, self._clock.now())
            self._check_caller(call, record.standing)
            coverage = self._coverages.find(record.standing, call.path)
            _allowed(coverage.resolved, record)
        query = strip_credentials(call.query)
        parameters = parse_parameters(operation, query, content.form)
        record.parameters = self._redactor.render_parameters(operation, parameters, record.standing.caller.name)
        if content.body:
            record.body_bytes = len(content.body)
            record.body_hmac = self._redactor.mark_body(content.body, record.standing.caller.name)
        grant = coverage.grant or self._choose_grant(coverage, parameters, record)
        running.grant = record.grant = grant
        return UpstreamRequest(
            credential=grant.credential,
            operation=operation,
            query=query,
            headers=_headers_up(call, content),
            body=content.body,
            patience=coverage.patience or self._timeouts.for_call(operation, parse_poll_seconds(parameters)),
            caller_name=record.standing.caller.name,
        )

    def still_allows(self, call: Call, running: RunningCall) -> bool:
        """
        Whether a call that was decided would come to the same now: the same caller, grant and key, and calls served.
        """
        try:
            self._check_serving()
            standing = renew(running.standing, self._snapshots.current, self._clock.now())
            self._check_caller(call, standing)
        except CallerError:
            return False
        return running.grant in standing.caller.grants

    async def _read_body(self, call: Call, running: RunningCall, record: CallRecord) -> bytes:
        """
        The call's body, unless somebody ends the call first.
        """
        if not call.has_body:
            return b""
        if running.ended is None:
            asked_at = self._clock.monotonic()
            with running.interruptible():
                body = await call.body(record.standing.caller.name)
                record.body_seconds = self._clock.monotonic() - asked_at
                return body
        raise _draining()

    def _check_serving(self) -> None:
        if not self._journal.writable:
            self._journal.note_refused()
            raise CallerError(Reason.AUDIT_UNAVAILABLE, retry_after_seconds=RETRY_SOON_SECONDS)
        if self._snapshots.is_stale():
            raise CallerError(Reason.SNAPSHOT_STALE, retry_after_seconds=RETRY_REGISTRY_SECONDS)
        if self._running.draining:
            raise _draining()

    def _check_caller(self, call: Call, standing: Standing) -> None:
        caller = standing.caller
        if caller.networks and not caller.allows_network(_parse_address(call.client or call.peer)):
            raise CallerError(Reason.NETWORK_NOT_ALLOWED)
        if standing.in_query and not caller.query_token_allowed:
            raise CallerError(Reason.QUERY_TOKEN_NOT_ALLOWED)

    def _choose_grant(self, coverage: Coverage, parameters: tuple[Parameter, ...], record: CallRecord) -> Grant:
        decision = decide(coverage.resolved, coverage.operation, parameters, self._number_country)
        grant = _allowed(decision, record).grant
        if grant is None:
            raise CallerError(Reason.OPERATION_NOT_GRANTED)
        return grant


@lru_cache(maxsize=4096)
def _parse_address(peer: str) -> IPv4Address | IPv6Address:
    return ip_address(peer)  # 3 us, and callers come from few addresses


def _allowed(decision: Decision, record: CallRecord) -> Decision:
    """
    The decision, or its denial as the refusal that the caller gets.
    """
    if decision.reason is None:
        return decision
    record.grant = decision.grant
    detail = None
    if decision.rule is not None:
        detail = f"{decision.detail or decision.reason.advice} The rule is {decision.rule}."
    elif decision.reason is Reason.OPERATION_NOT_GRANTED and record.operation is not None:
        detail = f"{record.operation.name} is not granted to this caller. {decision.reason.advice}"
    raise CallerError(decision.reason, detail)


def _headers_up(call: Call, content: Content) -> list[tuple[bytes, bytes]]:
    headers = [(name, value) for name in _PASSED_UP for value in call.headers.find(name) if value.isascii()]
    if content.content_type is not None:
        headers.append((b"Content-Type", content.content_type))
    return headers


def _draining() -> CallerError:
    return CallerError(
        Reason.DRAINING,
        f"{Reason.DRAINING.advice}; {Outcome.NOT_SENT.fate}.",
        retry_after_seconds=RETRY_SOON_SECONDS,
    )
