"""
One upstream, looked at from its name to its keys: each step only when the one before it went well.

What is sent is `Time`, which needs no key, and where it is asked for one read operation with each key; both are calls
on record (`attempt`). The way itself is walked without a byte of a request.

Upstreams may be many and slow, and an operator need not wait for us: each key is read again from the registry before
its attempt and once more when that is on record. One that was taken away meanwhile is not sent, and nothing is said of
one that was changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from gateway.diagnosis.attempt import Answered
from gateway.diagnosis.clock_skew import find_skew_seconds, tell_clock, tell_expired
from gateway.diagnosis.finding import Check, Finding, Learnt
from gateway.diagnosis.key import OPERATION, tell_key
from gateway.diagnosis.path import Place, walk
from gateway.diagnosis.path_findings import find_path_findings
from gateway.diagnosis.whitelist import tell_whitelist
from gateway.errors import OperatorError, Reason, StorageError, UpstreamError
from gateway.noojee.catalogue import load_catalogue
from gateway.noojee.hash_pair import tells_expired_pair
from gateway.outcome import Outcome
from gateway.upstream.addresses import resolve
from gateway.upstream.client import PooledUpstreams
from gateway.upstream.request import Patience, UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from gateway.access.credential import Credential
    from gateway.access.upstream import Upstream
    from gateway.clock import Clock
    from gateway.custody import Ring
    from gateway.diagnosis.attempt import Attempts
    from gateway.diagnosis.path import Path
    from gateway.noojee.catalogue import Operation
    from gateway.upstream.addresses import Resolver
    from gateway.upstream.request import Reply, Timeouts

__all__ = ["FindingCredential", "UpstreamCheck", "UpstreamState"]

FindingCredential: TypeAlias = "Callable[[str], Awaitable[Credential | None]]"
"""
Gives the credential of that name as it is in the registry now. Raises a `StorageError` or an `OperatorError` when that
cannot be read.
"""

_PATIENCE = Patience(6.0, 8.0)
"""Short: nothing that is asked here takes long, an operator waits for it, and other verbs for the journal's stream."""


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """
    The same as values, for metrics and their alarms. None is what could not be learnt this time.

    Attributes:
        upstream: Its name.
        probed_at: When it was looked at.
        is_reachable: Whether TLS was shaken with whom we trust.
        is_allowed: Whether Noojee lets this address in.
        is_answering: Whether it answered as a Noojee that works does, all that it was asked.
        certificate_ends_at: When its certificate ends, whether it is trusted or not.
        clock_skew_seconds: How far its clock is ahead of ours.
        keys: By credential's name: whether its key opens what it should.
    """

    upstream: str
    probed_at: datetime
    is_reachable: bool
    is_allowed: bool | None = None
    is_answering: bool | None = None
    certificate_ends_at: datetime | None = None
    clock_skew_seconds: float | None = None
    keys: Mapping[str, bool | None] = field(default_factory=dict)


class UpstreamCheck:
    """
    Looks at upstreams. Lives on an event loop; each check opens connections of its own.

    Args:
        ring: Opens what is sealed.
        timeouts: Those of calls.
        clock: Tells the time.
        attempts: Makes what is sent; None when nothing can be recorded, and so nothing is sent.
        find_credential: What the registry says of one at that moment.
        resolver: Where names lead.
    """

    def __init__(
        self,
        *,
        ring: Ring,
        timeouts: Timeouts,
        clock: Clock,
        attempts: Attempts | None,
        find_credential: FindingCredential,
        resolver: Resolver = resolve,
    ) -> None:
        self._ring = ring
        self._timeouts = timeouts
        self._clock = clock
        self._attempts = attempts
        self._find_credential = find_credential
        self._resolver = resolver

    async def look(
        self, upstream: Upstream, credentials: Sequence[Credential], *, with_key: bool
    ) -> tuple[list[Finding], UpstreamState]:
        """
        All that can be said of an upstream.

        Args:
            credentials: Its own.
            with_key: Whether each key is tried.
        """
        path = await walk(upstream, self._ring, self._timeouts.connect_seconds, self._resolver)
        findings = find_path_findings(upstream, path, self._clock.now())
        sender = PooledUpstreams(ring=self._ring, timeouts=self._timeouts, clock=self._clock, resolver=self._resolver)
        try:
            talk = _Talk(self._attempts, self._find_credential, self._clock, sender, upstream, path)
            await talk.ask_time()
            await talk.try_keys(credentials, with_key=with_key)
        finally:
            await sender.close()
        validity = path.seen.validity if path.seen is not None else None
        state = UpstreamState(
            upstream=upstream.name,
            probed_at=self._clock.now(),
            is_reachable=path.ended_at is Place.END,
            is_allowed=talk.is_allowed,
            is_answering=talk.is_answering,
            certificate_ends_at=validity.ends_at if validity is not None else None,
            clock_skew_seconds=talk.skew_seconds,
            keys=talk.keys,
        )
        return [*findings, talk.whitelist, *talk.key_findings, talk.clock_finding], state


class _Talk:
    """
    What is said with one upstream.
    """

    def __init__(
        self,
        attempts: Attempts | None,
        find_credential: FindingCredential,
        clock: Clock,
        sender: PooledUpstreams,
        upstream: Upstream,
        path: Path,
    ) -> None:
        self._attempts = attempts
        self._find_credential = find_credential
        self._clock = clock
        self._sender = sender
        self._upstream = upstream
        self._path = path
        self.is_allowed: bool | None = None
        self.is_answering: bool | None = None
        self.skew_seconds: float | None = None
        self.keys: dict[str, bool | None] = {}
        self.key_findings: list[Finding] = []
        self.whitelist = self._skip(Check.WHITELIST)
        self.clock_finding = self._skip(Check.CLOCK)

    async def ask_time(self) -> None:
        """
        The white-list and the clock.
        """
        if self._path.ended_at is not Place.END:
            return
        answer = await self._make(_find("Time"), None)
        if answer is None:
            self.whitelist = self._tell_unrecorded(Check.WHITELIST)
            return
        self.whitelist, self.is_allowed, self.is_answering = tell_whitelist(self._upstream, self._path, answer)
        if isinstance(answer, Answered):
            self.skew_seconds = find_skew_seconds(answer, self._clock.now())
            if self.whitelist.ok is not False:
                self.clock_finding = tell_clock(self._upstream, self.skew_seconds)

    async def try_keys(self, credentials: Sequence[Credential], *, with_key: bool) -> None:
        """
        Each key, unless Noojee does not answer us at all: then it would not be the key's fault.
        """
        held = [each for each in credentials if each.is_available]
        if self._path.ended_at is not Place.END or self.whitelist.ok is False:
            self.key_findings = [self._skip(Check.KEY)]
        elif not held:
            detail = f"{self._upstream.name}: there is no credential of it."
            advice = f"`noojee-gateway credential add NAME --upstream {self._upstream.name} --kind global|user`."
            self.key_findings = [Finding(Check.KEY, None, detail, advice)]
        elif not with_key:
            detail = f"{self._upstream.name}: no key was tried."
            advice = "`noojee-gateway check --with-key` sends one read operation with each, on record."
            self.key_findings = [Finding(Check.KEY, None, detail, advice)]
        else:
            for each in held:
                learnt = await self._try_key(each)
                self.key_findings.append(learnt.finding)
                self.keys[each.name] = learnt.is_accepted
                if learnt.is_answering is False:
                    self.is_answering = False

    async def _try_key(self, credential: Credential) -> Learnt:
        answer = None
        if is_unchanged := await self._is_unchanged(credential):
            answer = await self._make(_find(OPERATION), credential)
            is_unchanged = await self._is_unchanged(credential)
        if not is_unchanged:
            finding = self._skip(Check.KEY, f"the credential {credential.name} was changed meanwhile")
        elif answer is None:
            finding = self._tell_unrecorded(Check.KEY)
        elif isinstance(answer, Answered) and answer.body is not None and tells_expired_pair(answer.body):
            self.clock_finding = tell_expired(self._upstream)
            finding = self._skip(Check.KEY, "Noojee calls hash pairs expired at once")
        else:
            return tell_key(credential, answer)
        return Learnt(finding, None, None)

    async def _make(self, operation: Operation, credential: Credential | None) -> Answered | UpstreamError | None:
        """
        The answer to a call on record; None when it cannot be recorded, and so was not made (law 1).
        """
        if self._attempts is None:
            return None
        if credential is None:
            sending = lambda: self._sender.ask_time(self._upstream, _PATIENCE)  # noqa: E731 - two ways to send
        else:
            request = UpstreamRequest(credential, operation, b"", (), b"", _PATIENCE)
            sending = lambda: self._send(request)  # noqa: E731 - the same
        try:
            return await self._attempts.make(operation, self._upstream, credential, sending)
        except (OperatorError, StorageError):
            return None

    async def _send(self, request: UpstreamRequest) -> Reply:
        """
        Send a key, unless it was taken away while the intent was written.
        """
        if not await self._is_unchanged(request.credential):
            raise UpstreamError(Reason.CREDENTIAL_UNAVAILABLE, Outcome.NOT_SENT)
        return await self._sender.send(request)

    async def _is_unchanged(self, credential: Credential) -> bool:
        """
        Whether the registry still has the credential as it was read, upstream and all. What cannot be read has not.
        """
        try:
            return await self._find_credential(credential.name) == credential
        except (OperatorError, StorageError):
            return False

    def _skip(self, check: Check, reason: str = "the step before failed") -> Finding:
        return Finding(check, None, f"{self._upstream.name}: not looked at, because {reason}.")

    def _tell_unrecorded(self, check: Check) -> Finding:
        detail = f"{self._upstream.name}: nothing was sent, because the journal cannot be written."
        return Finding(check, None, detail, "See what the journal's check says.")


def _find(name: str) -> Operation:
    operation = load_catalogue().find_by_name(name)
    if operation is None:
        raise LookupError(f"the catalogue has no {name}")
    return operation
