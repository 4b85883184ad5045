"""
The handshake of the hash method: ask Noojee for its time, make the pair, and let every call use it that can.

One handshake is under way for a credential, and others wait for it; five run at once for an upstream, because Noojee
allows no more. A call whose handshake fails was not sent (law 2): its intent is on disk before, and nothing of it has
left. A pair stays in memory, in no log, error or record (law 3). How old it may be is `pair_book`'s to know.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.errors import Reason, UpstreamError
from gateway.noojee.catalogue import load_catalogue
from gateway.noojee.envelope import find_code, judge
from gateway.noojee.hash_pair import EXPIRED_CODE, HashPair, parse_time
from gateway.outcome import Outcome
from gateway.upstream.pair_book import FIRST_USE_SECONDS, HeldPair, PairBook
from gateway.upstream.request import Patience, UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from collections.abc import Set as AbstractSet

    from gateway.access.credential import Credential
    from gateway.clock import Clock
    from gateway.noojee.catalogue import Operation
    from gateway.secret import Secret
    from gateway.upstream.request import Reply

__all__ = ["Handshakes"]

_MOST_AT_ONCE = 5
"""Vendor's authentication page: at most 5 concurrent authentication attempts."""

_TURN_SECONDS = 20.0
"""How long a call waits for its turn: twice the time for which an attempt whose pair nobody used stays open."""

_FAILED = "Noojee did not tell its time, which the hash method needs first; try again later, or tell the operator"
_BUSY = "Too many keys wait to be shown to Noojee by the hash method; try again later"
_REFUSING = frozenset({401, 403})


class Handshakes:
    """
    The pairs of all credentials, and the way to new ones. Lives on its event loop.

    Args:
        ask: Sends a request without credential parameters, and gives the reply.
        key_of: The key of a credential, or an `UpstreamError`.
        clock: Tells how old a pair is.
        lifetime_seconds: As in `PairBook`.

    Attributes:
        time: The operation `Time`.
    """

    def __init__(
        self,
        *,
        ask: Callable[[UpstreamRequest], Awaitable[Reply]],
        key_of: Callable[[Credential], Secret],
        clock: Clock,
        lifetime_seconds: float,
    ) -> None:
        self._ask = ask
        self._key_of = key_of
        self._clock = clock
        self._book = PairBook(lifetime_seconds)
        self._under_way: dict[Credential, asyncio.Task[HeldPair | UpstreamError]] = {}
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._attempts: dict[HeldPair, asyncio.Semaphore] = {}
        time = load_catalogue().find_by_name("Time")
        if time is None:
            raise LookupError("the catalogue has no Time")
        self.time: Operation = time

    async def obtain(self, credential: Credential) -> HeldPair:
        """
        A pair that can be used now; asks Noojee for one when there is none.

        A caller that gives up does not end the handshake: others may wait for it.

        Raises:
            UpstreamError: The handshake failed, or its turn did not come; the outcome is `not_sent`.
        """
        held = self._book.find(credential, self._clock.monotonic())
        if held is not None:
            return held
        task = self._under_way.get(credential)
        if task is None:
            task = self._under_way[credential] = asyncio.create_task(self._run(credential))
        result = await asyncio.shield(task)
        if isinstance(result, HeldPair) and self.seconds_left(result) <= 0:
            result = UpstreamError(Reason.UPSTREAM_TIMEOUT, Outcome.NOT_SENT)  # we were held up ourselves
        if isinstance(result, UpstreamError):
            # An exception of one's own for each who waited; the shared one would collect all their tracebacks.
            detail = _BUSY if result.reason is Reason.UPSTREAM_BUSY else _FAILED
            if result.reason in {Reason.UPSTREAM_CERTIFICATE, Reason.CREDENTIAL_UNAVAILABLE}:
                detail = result.reason.advice
            raise UpstreamError(result.reason, Outcome.NOT_SENT, detail=detail) from None
        return result

    def seconds_left(self, held: HeldPair) -> float:
        """
        How soon a call with this pair must be handed to a connection; 0 or less when it is too late.
        """
        return self._book.ends_at(held) - self._clock.monotonic()

    def weigh(self, request: UpstreamRequest, held: HeldPair, status: int, body: bytes | None) -> None:
        """
        Learn of a pair from the complete reply to a call that used it.

        Success alone proves a pair ("once used successfully"): an error of Noojee's may come from before the hash was
        looked at. An accepted pair that is turned away later is given up too, since what Noojee says to a pair that it
        has forgotten is not documented; a fresh one is not, or a wrong key would make an attempt of every call.

        Args:
            body: None when it was streamed.
        """
        code = find_code(body) if body is not None else None
        if code == EXPIRED_CODE:
            self._book.drop(request.credential, held)
            self._end_attempt(held)
        elif status in _REFUSING and held.is_accepted:
            self._book.drop(request.credential, held)
        elif judge(request.operation, status, code) is Outcome.SUCCEEDED:
            self._book.accept(request.credential, held)
            self._end_attempt(held)

    def keep(self, credentials: AbstractSet[Credential]) -> None:
        """
        Forget the pairs of all other credentials, also those that are just being made.
        """
        self._book.keep(credentials)
        self._under_way = {each: task for each, task in self._under_way.items() if each in credentials}

    async def close(self) -> None:
        """
        End the handshakes under way. For the end of the process, after the last call.
        """
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, credential: Credential) -> HeldPair | UpstreamError:
        """
        One handshake from its turn to its end. Gives its error rather than raising it: perhaps nobody waits any more.
        """
        turn = self._turns.setdefault(credential.upstream.origin, asyncio.Semaphore(_MOST_AT_ONCE))
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await turn.acquire()
        except TimeoutError:
            return self._finish(credential, UpstreamError(Reason.UPSTREAM_BUSY, Outcome.NOT_SENT))
        try:
            held = await self._make_pair(credential)
        except UpstreamError as error:
            turn.release()
            return self._finish(credential, error)
        except BaseException:
            turn.release()
            self._forget_task(credential)
            raise
        # At Noojee the attempt is open until the pair was used or is too old to be; the turn is kept as long.
        self._attempts[held] = turn
        asyncio.get_running_loop().call_later(FIRST_USE_SECONDS, self._end_attempt, held)
        return self._finish(credential, held)

    async def _make_pair(self, credential: Credential) -> HeldPair:
        asked_at = self._clock.monotonic()
        # A reply that comes later than the first use is allowed would be of no use.
        patience = Patience(FIRST_USE_SECONDS, FIRST_USE_SECONDS)
        reply = await self._ask(UpstreamRequest(credential, self.time, b"", (), b"", patience))
        await reply.close()
        if not 200 <= reply.status < 300 or reply.body is None:  # noqa: PLR2004  # RFC 9110 section 15.3
            raise UpstreamError(Reason.UPSTREAM_BROKE, Outcome.NOT_SENT)
        try:
            time_stamp = parse_time(reply.body)
        except ValueError:
            raise UpstreamError(Reason.UPSTREAM_BROKE, Outcome.NOT_SENT) from None
        return HeldPair(HashPair(self._key_of(credential), time_stamp), asked_at)

    def _finish(self, credential: Credential, result: HeldPair | UpstreamError) -> HeldPair | UpstreamError:
        if self._forget_task(credential) and isinstance(result, HeldPair):
            self._book.add(credential, result)
        return result

    def _forget_task(self, credential: Credential) -> bool:
        """
        The handshake of this task is over; False when the credential was forgotten meanwhile.
        """
        if self._under_way.get(credential) is not asyncio.current_task():
            return False
        del self._under_way[credential]
        return True

    def _end_attempt(self, held: HeldPair) -> None:
        turn = self._attempts.pop(held, None)
        if turn is not None:
            turn.release()

    def __repr__(self) -> str:
        return f"<Handshakes: {len(self._under_way)} under way, {self._book!r}>"
