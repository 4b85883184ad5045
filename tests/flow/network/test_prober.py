"""
The prober: each upstream every few minutes, on record, told as values and logged once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import pytest
from connect_proxy import run_connect_proxy

from gateway.administration import credentials, upstreams
from gateway.administration.checkup import check_installation
from gateway.audit.journal import Journal
from gateway.clock import SystemClock
from gateway.custody import Ring
from gateway.diagnosis.attempt import Attempts
from gateway.diagnosis.finding import Check
from gateway.diagnosis.prober import Prober
from gateway.diagnosis.upstream_check import UpstreamCheck
from gateway.errors import StorageError
from gateway.secret import Secret
from gateway.upstream.request import Timeouts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from installation import Installation
    from noojee import Noojee

    from gateway.access.credential import Credential
    from gateway.diagnosis.upstream_check import UpstreamState

TEMPLATES = "CampaignAPI/getCampaignTemplateList"


async def open_prober(installation: Installation) -> Prober:
    """
    One on this data folder.
    """
    place = installation.settings
    return await Prober.open(
        data_dir=place["data_dir"],
        master_key_file=place["master_key_file"],
        node="test",
        timeouts=Timeouts(connect_seconds=2.0),
        clock=SystemClock(),
    )


async def probe(installation: Installation) -> UpstreamState:
    """
    One round.
    """
    prober = await open_prober(installation)
    try:
        return (await prober.probe())["noojee"]
    finally:
        await prober.close()


def test_a_round_tells_each_upstream_as_values_and_is_on_record(
    installation: Installation, noojee: Noojee, caplog: pytest.LogCaptureFixture
) -> None:
    """
    On the stream `control`; what is wrong is logged when it begins, and not every few minutes.
    """

    async def story() -> None:
        prober = await open_prober(installation)
        try:
            assert {} == prober.states
            state = (await prober.probe())["noojee"]
            assert (True, True, {"campaigns": True, "everything": True}) == (
                state.is_reachable,
                state.is_allowed,
                state.keys,
            )
            assert state.certificate_ends_at is not None
            assert abs(state.clock_skew_seconds or 9) < 2
            noojee.break_next("Time", "status", 403, times=2)
            for _ in range(2):
                state = (await prober.probe())["noojee"]
            assert (True, False, {}) == (state.is_reachable, state.is_allowed, state.keys)
            assert state == prober.states["noojee"]
        finally:
            await prober.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(story())

    records = installation.journal("control")
    assert "prober.started" == records[0]["tag"]
    assert ["call.intended", "call.ended"] * 5 == [each["tag"] for each in records[1:]]
    assert {"gateway"} == {each["actor"] for each in records if each["tag"] == "call.intended"}
    assert 1 == caplog.text.count("refused this address")


@pytest.mark.parametrize(
    ("operation", "kind", "value", "told"),
    [
        ("Time", "status", 401, (False, None, {})),
        ("Time", "status", 503, (None, False, {})),
        ("Time", "reset_after", None, (None, False, {})),
        ("Time", "redirect", "https://sign-in.example.com/", (None, False, {})),
        ("Time", "body", "<html>Welcome</html>", (None, False, {})),
        ("Time", "status", 429, (True, True, {"campaigns": True, "everything": True})),
        (TEMPLATES, "status", 503, (True, False, {"campaigns": None, "everything": True})),
        (TEMPLATES, "reset_after", None, (True, False, {"campaigns": None, "everything": True})),
        (TEMPLATES, "status", 404, (True, True, {"campaigns": None, "everything": True})),
        (TEMPLATES, "status", 429, (True, True, {"campaigns": None, "everything": True})),
        (TEMPLATES, "status", 403, (True, True, {"campaigns": False, "everything": True})),
        (TEMPLATES, "body", '{"code":-1,"message":"no"}', (True, True, {"campaigns": False, "everything": True})),
        (TEMPLATES, "body", '{"code":0,"entities":[]}', (True, True, {"campaigns": False, "everything": True})),
    ],
)
def test_a_value_says_what_was_learnt_and_no_more(
    installation: Installation,
    noojee: Noojee,
    operation: str,
    kind: str,
    value: object,
    told: tuple[bool | None, bool | None, dict[str, bool | None]],
) -> None:
    """
    A Noojee that is broken, or silent, refuses no address and no key: that is a value of its own.
    """
    noojee.break_next(operation, kind, value)
    state = asyncio.run(probe(installation))

    assert told == (state.is_allowed, state.is_answering, state.keys)


@pytest.mark.parametrize("who", ["prober", "check"])
def test_a_key_that_is_taken_away_in_the_middle_of_a_round_is_not_sent(
    installation: Installation, noojee: Noojee, who: str
) -> None:
    """
    Nobody waits for a round's end: `credential remove` has returned, and so has `credential rotate`.
    """

    def take_away() -> None:
        with installation.desk() as desk:
            credentials.remove(desk, "campaigns")
            credentials.rotate(desk, "everything", key=Secret("7f0e1b52-1111-4222-8333-abcdefabcdef"))

    with run_connect_proxy() as proxy:
        with installation.desk() as desk:
            upstreams.change(desk, "noojee", proxy=f"http://127.0.0.1:{proxy.port}")
        proxy.on_first = take_away  # the round has read all credentials before, and sent nothing
        if who == "prober":
            assert {"campaigns": None, "everything": None} == asyncio.run(probe(installation)).keys
        else:
            findings = check_installation(
                **installation.settings, clock=SystemClock(), timeouts=Timeouts(connect_seconds=2.0), with_key=True
            )
            assert [None, None] == [each.ok for each in findings if each.check is Check.KEY]

    assert ["/servicemanager/rest/Time"] == noojee.targets()
    records = installation.journal("control" if who == "prober" else "admin")
    assert [None] == [each.get("credential") for each in records if each["tag"] == "call.intended"]


def test_a_key_that_is_taken_away_while_its_intent_is_written_is_not_sent_either(
    installation: Installation, noojee: Noojee
) -> None:
    """
    The record then says that it was not sent.
    """
    place = installation.settings
    with installation.desk() as desk, desk.reading() as registry:
        credential = registry.find_credentials()["campaigns"]
    journal = Journal.open(place["data_dir"] / "journal", "control", node="test", clock=SystemClock())
    answers = [credential, None, None]

    async def find(_: str) -> Credential | None:
        return answers.pop(0)

    @contextlib.asynccontextmanager
    async def hold() -> AsyncIterator[Journal]:
        yield journal

    try:
        check = UpstreamCheck(
            ring=Ring.load(place["master_key_file"]),
            timeouts=Timeouts(connect_seconds=2.0),
            clock=SystemClock(),
            attempts=Attempts(hold, SystemClock(), "gateway", 1),
            find_credential=find,
        )
        _, state = asyncio.run(check.look(credential.upstream, [credential], with_key=True))
    finally:
        journal.close()

    assert {"campaigns": None} == state.keys
    assert ["/servicemanager/rest/Time"] == noojee.targets()
    assert "not_sent" == installation.journal("control")[-1]["outcome"]


def test_it_runs_until_it_is_cancelled_whatever_a_round_meets(installation: Installation, noojee: Noojee) -> None:
    """
    A registry that cannot be read costs a round.
    """
    registry = installation.data_dir / "gateway.db"

    async def story() -> None:
        prober = await open_prober(installation)
        running = asyncio.create_task(prober.run(0.05))
        try:
            async with asyncio.timeout(10):
                while not prober.states:  # noqa: ASYNC110 - a prober tells nobody
                    await asyncio.sleep(0.01)
            registry.rename(registry.with_suffix(".away"))
            await asyncio.sleep(0.2)
            assert not running.done()
        finally:
            registry.with_suffix(".away").rename(registry)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await prober.close()

    asyncio.run(story())
    assert noojee.targets()


def test_two_probers_do_not_share_a_stream(installation: Installation) -> None:
    """
    The second is told so, and holds nothing.
    """

    async def story() -> None:
        first = await open_prober(installation)
        try:
            with pytest.raises(StorageError):
                await open_prober(installation)
        finally:
            await first.close()
        await (await open_prober(installation)).close()

    asyncio.run(story())
