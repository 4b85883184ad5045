"""
The handshake of the hash method: one for a credential, five for an upstream, and what its replies teach.
"""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from gateway.access.credential import Credential, Kind
from gateway.access.upstream import AuthMethod, Upstream
from gateway.errors import Reason, UpstreamError
from gateway.noojee.catalogue import load_catalogue
from gateway.noojee.hash_pair import HashPair
from gateway.outcome import Outcome
from gateway.secret import Secret
from gateway.upstream import handshake
from gateway.upstream.handshake import Handshakes
from gateway.upstream.request import Patience, UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime

    from gateway.noojee.catalogue import Operation

KEY = "00000000-0000-0000-0000-000000000000"
NOOJEE = Upstream("noojee", "noojee.example.com", 443, auth=AuthMethod.HASH)
CREDENTIAL = Credential("c1", "everything", NOOJEE, Kind.GLOBAL, None, b"sealed")
TOLD = 1700000000000
EXPIRED = b'{"Message": "Expired TimeStamp", "Code": -1}'


class HandHeldClock:
    """
    A clock that stands until it is moved.
    """

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        """
        Where the hand stands.
        """
        return self.seconds

    def now(self) -> datetime:
        """
        Of no use here.
        """
        raise NotImplementedError


@dataclass
class TimeReply:
    """
    A reply to `Time`.
    """

    status: int = 200
    body: bytes | None = str(TOLD).encode()
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def chunks(self) -> AsyncIterator[bytes]:
        """
        Nothing more.
        """
        return
        yield b""

    async def close(self) -> None:
        """
        Nothing is open.
        """


class Noojee:
    """
    Whom the handshakes ask: counts, and answers when it is let.
    """

    def __init__(self, clock: HandHeldClock) -> None:
        self.clock = clock
        self.asked: list[UpstreamRequest] = []
        self.let = asyncio.Event()
        self.let.set()
        self.answer: Callable[[], TimeReply] = TimeReply

    async def ask(self, request: UpstreamRequest) -> TimeReply:
        """
        One `Time`.
        """
        self.asked.append(request)
        await self.let.wait()
        return self.answer()


@dataclass
class Scene:
    """
    Handshakes on a clock in hand, before a Noojee in hand.
    """

    clock: HandHeldClock
    noojee: Noojee
    handshakes: Handshakes


def get_key(credential: Credential) -> Secret:
    """
    Every credential holds the same key, but for one whose seal does not open.
    """
    if credential.sealed == b"foreign":
        raise UpstreamError(Reason.CREDENTIAL_UNAVAILABLE, Outcome.NOT_SENT)
    return Secret(KEY)


def play(story: Callable[[Scene], Awaitable[None]], *, lifetime_seconds: float = 3600.0) -> None:
    """
    Run a story on an event loop of its own.
    """

    async def run() -> None:
        clock = HandHeldClock()
        noojee = Noojee(clock)
        handshakes = Handshakes(ask=noojee.ask, key_of=get_key, clock=clock, lifetime_seconds=lifetime_seconds)
        await story(Scene(clock, noojee, handshakes))
        await handshakes.close()

    asyncio.run(run())


def find_operation(name: str) -> Operation:
    """
    An operation of the catalogue.
    """
    operation = load_catalogue().find_by_name(name)
    assert operation is not None
    return operation


def create_request(name: str = "CallManagementAPI/start", credential: Credential = CREDENTIAL) -> UpstreamRequest:
    """
    A call that uses a pair.
    """
    return UpstreamRequest(credential, find_operation(name), b"", (), b"", Patience(30, 600))


def number_credential(number: int) -> Credential:
    """
    Another credential of the same upstream.
    """
    return dataclasses.replace(CREDENTIAL, credential_id=f"c{number}", name=f"key-{number}")


async def settle() -> None:
    """
    Let everything run that can.
    """
    for _ in range(10):
        await asyncio.sleep(0)


def test_time_is_asked_without_a_key_and_the_pair_is_made_of_it() -> None:
    """
    The catalogue's path and nothing else; the pair is that of the key and the number told.
    """

    async def story(scene: Scene) -> None:
        held = await scene.handshakes.obtain(CREDENTIAL)

        (request,) = scene.noojee.asked
        assert (b"/servicemanager/rest/Time", b"", b"") == (request.operation.path, request.query, request.body)
        assert HashPair(Secret(KEY), TOLD) == held.pair
        assert not held.is_accepted
        assert 10.0 == scene.handshakes.seconds_left(held)

    play(story)


def test_calls_at_once_share_one_handshake() -> None:
    """
    Whoever comes while one is under way waits for it, and who comes later uses its pair.
    """

    async def story(scene: Scene) -> None:
        scene.noojee.let.clear()
        calls = [asyncio.create_task(scene.handshakes.obtain(CREDENTIAL)) for _ in range(20)]
        await settle()
        scene.noojee.let.set()
        pairs = await asyncio.gather(*calls)
        pairs.append(await scene.handshakes.obtain(CREDENTIAL))

        assert 1 == len(scene.noojee.asked)
        assert 1 == len({id(held) for held in pairs})

    play(story)


def test_a_caller_that_leaves_does_not_end_the_handshake_of_others() -> None:
    """
    Even when it was the one that began it.
    """

    async def story(scene: Scene) -> None:
        scene.noojee.let.clear()
        first = asyncio.create_task(scene.handshakes.obtain(CREDENTIAL))
        await settle()
        second = asyncio.create_task(scene.handshakes.obtain(CREDENTIAL))
        await settle()
        first.cancel()
        await settle()
        scene.noojee.let.set()

        assert not (await second).is_accepted
        assert first.cancelled()
        assert 1 == len(scene.noojee.asked)

    play(story)


def fail_with(reason: Reason, outcome: Outcome) -> Callable[[], TimeReply]:
    """
    A `Time` that does not come back.
    """

    def fail() -> TimeReply:
        raise UpstreamError(reason, outcome)

    return fail


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (fail_with(Reason.UPSTREAM_UNREACHABLE, Outcome.NOT_SENT), Reason.UPSTREAM_UNREACHABLE),
        (fail_with(Reason.UPSTREAM_CERTIFICATE, Outcome.NOT_SENT), Reason.UPSTREAM_CERTIFICATE),
        (fail_with(Reason.UPSTREAM_BROKE, Outcome.UNKNOWN), Reason.UPSTREAM_BROKE),
        (fail_with(Reason.UPSTREAM_TIMEOUT, Outcome.UNKNOWN), Reason.UPSTREAM_TIMEOUT),
        (fail_with(Reason.UPSTREAM_REDIRECTED, Outcome.FAILED), Reason.UPSTREAM_REDIRECTED),
        (lambda: TimeReply(status=404), Reason.UPSTREAM_BROKE),
        (lambda: TimeReply(status=500), Reason.UPSTREAM_BROKE),
        (lambda: TimeReply(body=None), Reason.UPSTREAM_BROKE),
        (lambda: TimeReply(body=b""), Reason.UPSTREAM_BROKE),
        (lambda: TimeReply(body=b'{"Code": -2}'), Reason.UPSTREAM_BROKE),
    ],
)
def test_a_failed_handshake_is_not_sent(answer: Callable[[], TimeReply], reason: Reason) -> None:
    """
    Whatever became of `Time`, nothing of the call has left. All who waited hear it; the next call tries anew.
    """

    async def story(scene: Scene) -> None:
        scene.noojee.answer = answer
        calls = [asyncio.create_task(scene.handshakes.obtain(CREDENTIAL)) for _ in range(3)]
        errors = await asyncio.gather(*calls, return_exceptions=True)

        assert 1 == len(scene.noojee.asked)
        assert 3 == len({id(error) for error in errors})
        for error in errors:
            assert isinstance(error, UpstreamError)
            assert (reason, Outcome.NOT_SENT, None) == (error.reason, error.outcome, error.upstream_status)
            assert error.detail.endswith("it was not sent.")
            assert error.__cause__ is None
        scene.noojee.answer = TimeReply
        assert (await scene.handshakes.obtain(CREDENTIAL)).pair == HashPair(Secret(KEY), TOLD)

    play(story)


def test_a_key_that_does_not_open_makes_no_pair() -> None:
    """
    The operator must look: the credential is not available.
    """

    async def story(scene: Scene) -> None:
        with pytest.raises(UpstreamError) as caught:
            await scene.handshakes.obtain(dataclasses.replace(CREDENTIAL, sealed=b"foreign"))

        assert (Reason.CREDENTIAL_UNAVAILABLE, Outcome.NOT_SENT) == (caught.value.reason, caught.value.outcome)

    play(story)


def test_a_pair_that_came_too_late_is_not_used() -> None:
    """
    Its ten seconds are counted from the asking, whatever held us up.
    """

    async def story(scene: Scene) -> None:
        def answer() -> TimeReply:
            scene.clock.seconds += 10
            return TimeReply()

        scene.noojee.answer = answer
        with pytest.raises(UpstreamError) as caught:
            await scene.handshakes.obtain(CREDENTIAL)

        assert (Reason.UPSTREAM_TIMEOUT, Outcome.NOT_SENT) == (caught.value.reason, caught.value.outcome)

    play(story)


@pytest.mark.parametrize(
    ("status", "body", "proven"),
    [
        (200, b'{"Code": 0}', True),
        (200, b'{"Code": 5}', True),
        (200, b"[]", True),
        (200, None, True),
        (200, b'{"Code": -2}', False),
        (400, b'{"Code": -2}', False),
        (401, b"", False),
        (403, b"", False),
        (404, b"<html>", False),
        (500, b"", False),
        (503, None, False),
    ],
)
def test_only_success_proves_a_pair(status: int, body: bytes | None, *, proven: bool) -> None:
    """
    Ten seconds after the asking, a proven pair is still given, and one that is not makes way for a new one.
    """

    async def story(scene: Scene) -> None:
        held = await scene.handshakes.obtain(CREDENTIAL)
        scene.handshakes.weigh(create_request(), held, status, body)
        assert proven is held.is_accepted
        assert held is await scene.handshakes.obtain(CREDENTIAL)  # fresh or proven, it is good now

        scene.clock.seconds += 10
        assert proven is (held is await scene.handshakes.obtain(CREDENTIAL))

    play(story)


@pytest.mark.parametrize(
    ("status", "body", "kept"),
    [
        (200, EXPIRED, False),
        (500, EXPIRED, False),
        (200, b'{"Code": -1, "Message": "no"}', False),
        (200, b'{"code": "-1"}', False),
        (401, b"", False),
        (403, b'{"Code": -2}', False),
        (200, b'{"Code": -2}', True),
        (400, b"", True),
        (503, b"", True),
    ],
)
def test_a_proven_pair_that_is_turned_away_is_given_up(status: int, body: bytes, *, kept: bool) -> None:
    """
    Called expired, or refused as a key is: the next call shakes hands. Other errors say nothing of it.
    """

    async def story(scene: Scene) -> None:
        held = await scene.handshakes.obtain(CREDENTIAL)
        scene.handshakes.weigh(create_request(), held, 200, b'{"Code": 0}')
        scene.clock.seconds += 60

        scene.handshakes.weigh(create_request(), held, status, body)

        assert kept is (held is await scene.handshakes.obtain(CREDENTIAL))

    play(story)


def test_a_lead_code_proves_nothing() -> None:
    """
    101 to 110 are refusals there, as everywhere in the gateway.
    """

    async def story(scene: Scene) -> None:
        held = await scene.handshakes.obtain(CREDENTIAL)
        scene.handshakes.weigh(create_request("CampaignAPI/insertLeadFast"), held, 200, b'{"code": 105}')

        assert not held.is_accepted

    play(story)


def test_five_attempts_are_open_at_once_for_an_upstream() -> None:
    """
    The sixth credential waits until a pair is proven, also when the five were answered long ago; others do not wait.
    """

    async def story(scene: Scene) -> None:
        pairs = [await scene.handshakes.obtain(number_credential(number)) for number in range(5)]
        sixth = asyncio.create_task(scene.handshakes.obtain(number_credential(6)))
        elsewhere = dataclasses.replace(CREDENTIAL, upstream=dataclasses.replace(NOOJEE, host="other.example.com"))
        await scene.handshakes.obtain(elsewhere)
        await settle()
        assert 6 == len(scene.noojee.asked)
        assert not sixth.done()

        scene.handshakes.weigh(create_request(credential=number_credential(0)), pairs[0], 200, b'{"Code": 0}')
        await sixth

        assert 7 == len(scene.noojee.asked)

    play(story)


def test_an_attempt_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A pair that nobody used is too old to be used after ten seconds, here made short; its turn is free then.
    """
    monkeypatch.setattr(handshake, "FIRST_USE_SECONDS", 0.05)

    async def story(scene: Scene) -> None:
        for number in range(12):
            await scene.handshakes.obtain(number_credential(number))

        assert 12 == len(scene.noojee.asked)

    play(story)


def test_failed_attempts_keep_no_turn() -> None:
    """
    Otherwise a Noojee that was down would be unreachable for another ten seconds.
    """

    async def story(scene: Scene) -> None:
        scene.noojee.answer = lambda: TimeReply(status=503)
        for _ in range(7):
            with pytest.raises(UpstreamError):
                await scene.handshakes.obtain(CREDENTIAL)

        scene.noojee.answer = TimeReply
        await scene.handshakes.obtain(CREDENTIAL)

    play(story)


def test_a_call_does_not_wait_for_ever_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    503 and not sent: the caller may try again.
    """
    monkeypatch.setattr(handshake, "_TURN_SECONDS", 0.05)

    async def story(scene: Scene) -> None:
        for number in range(5):
            await scene.handshakes.obtain(number_credential(number))
        with pytest.raises(UpstreamError) as caught:
            await scene.handshakes.obtain(number_credential(6))

        assert (Reason.UPSTREAM_BUSY, Outcome.NOT_SENT) == (caught.value.reason, caught.value.outcome)

    play(story)


def test_a_key_that_was_rotated_meanwhile_leaves_no_pair() -> None:
    """
    The call that waited goes up as it was decided; nobody else gets its pair.
    """

    async def story(scene: Scene) -> None:
        rotated = dataclasses.replace(CREDENTIAL, sealed=b"rotated")
        scene.noojee.let.clear()
        waiting = asyncio.create_task(scene.handshakes.obtain(CREDENTIAL))
        await settle()
        scene.handshakes.keep({rotated})
        scene.noojee.let.set()
        held = await waiting
        assert held is not await scene.handshakes.obtain(rotated)
        scene.handshakes.weigh(create_request(), held, 200, b'{"Code": 0}')

        await scene.handshakes.obtain(CREDENTIAL)

        assert 3 == len(scene.noojee.asked)

    play(story)


def test_closing_ends_what_is_under_way() -> None:
    """
    A handshake that nobody waits for any more does not outlive its worker.
    """

    async def story(scene: Scene) -> None:
        scene.noojee.let.clear()
        waiting = asyncio.create_task(scene.handshakes.obtain(CREDENTIAL))
        await settle()
        await scene.handshakes.close()
        await asyncio.wait({waiting})

        assert waiting.cancelled()
        assert "0 under way" in repr(scene.handshakes)

    play(story)
