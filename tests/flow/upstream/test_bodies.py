"""
Long bodies in both directions: nobody is sent more than he takes, and an early reply counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from typing import TYPE_CHECKING

import pytest
from reply_scripts import render_reply
from scripted_upstream import Ending
from way_up import create_credential, create_request, fetch

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripted_upstream import ScriptedUpstream

    from gateway.upstream.client import PooledUpstreams

MEGABYTE = 1024 * 1024


def test_a_reader_that_takes_nothing_holds_the_upstream_back(
    scripted: ScriptedUpstream, play: Callable[..., None]
) -> None:
    """
    Of 16 MiB no more is held than what one reply may have waiting; then all of it comes.
    """
    body = bytes(range(256)) * (16 * 4096)

    async def story(sender: PooledUpstreams) -> None:
        pieces = [render_reply(200, body)[at : at + MEGABYTE] for at in range(0, len(body) + 200, MEGABYTE)]
        reply = await sender.send(create_request(create_credential(scripted), scripted.add(*pieces)))
        reader = reply._source._reader  # type: ignore[attr-defined]
        most = 0
        for _ in range(20):
            await asyncio.sleep(0.005)
            most = max(most, reader.waiting_bytes)
        digest = hashlib.sha256()
        async for piece in reply.chunks():
            digest.update(piece)
            most = max(most, reader.waiting_bytes)
        await reply.close()

        assert 128 * 1024 < most <= (128 + 32 + 16) * 1024
        assert hashlib.sha256(body).digest() == digest.digest()
        assert "1 idle" in repr(sender)

    play(story)


def test_an_upstream_that_takes_nothing_holds_the_body_back(
    scripted: ScriptedUpstream, play: Callable[..., None]
) -> None:
    """
    Beside what the kernel takes, one slice of a long body waits encrypted; then all of it goes.
    """
    body = bytes(range(256)) * (12 * 4096)

    async def story(sender: PooledUpstreams) -> None:
        begin = threading.Event()
        credential = create_credential(scripted)
        query = scripted.add(begin, render_reply(), reads_body=False)
        fetching = asyncio.create_task(fetch(sender, create_request(credential, query, body=body)))
        while "calls: 1 busy" not in repr(sender):  # noqa: ASYNC110 - a state tells nobody of its change
            await asyncio.sleep(0.001)
        (site,) = sender._sites.values()
        (connection,) = site.calls._all
        most = 0
        for _ in range(20):
            await asyncio.sleep(0.005)
            assert connection._transport is not None
            most = max(most, connection._transport.get_write_buffer_size())

        assert 0 < most <= 66 * 1024
        fetching.cancel()
        await asyncio.wait({fetching})
        begin.set()
        whole = create_request(credential, scripted.add(render_reply()), body=body)
        assert 200 == (await fetch(sender, whole)).status
        assert scripted.requests[-1].endswith(body)

    play(story)


@pytest.mark.parametrize("ending", [Ending.KEEP, Ending.FIN])
@pytest.mark.parametrize("status", [200, 413])
def test_an_early_reply_counts(
    scripted: ScriptedUpstream, play: Callable[..., None], ending: Ending, status: int
) -> None:
    """
    Whole before all of the request was sent; its connection is not used again.
    """

    async def story(sender: PooledUpstreams) -> None:
        checked = threading.Event()
        if ending is Ending.FIN:
            checked.set()  # the upstream reads the rest while it ends, as a lingering close does
        query = scripted.add(render_reply(status), checked, ending=ending, reads_body=False)
        request = create_request(create_credential(scripted), query, body=b"x" * 8_000_000)
        result = await fetch(sender, request)

        assert (status, None) == (result.status, result.reason)
        if ending is Ending.KEEP:
            assert "calls: 0 busy, 0 idle" in repr(sender) or "calls: 1 busy, 0 idle" in repr(sender)
        checked.set()

    play(story)


def test_a_long_reply_is_read_to_its_end_whoever_is_slow(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    Once all has come, the connection is free: what waits for its reader waits with us.
    """

    async def story(sender: PooledUpstreams) -> None:
        body = b"x" * 100_000
        reply = await sender.send(create_request(create_credential(scripted), scripted.add(render_reply(200, body))))
        while "1 idle" not in repr(sender):  # noqa: ASYNC110 - a state tells nobody of its change
            await asyncio.sleep(0.001)
        assert (200, None) == (reply.status, reply.body)
        await fetch(sender, create_request(create_credential(scripted), scripted.add(render_reply())))

        assert body == b"".join([piece async for piece in reply.chunks()])
        await reply.close()
        assert "1 idle" in repr(sender)

    play(story)


def test_a_whole_reply_gives_its_body_in_pieces_too(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    For whoever does not ask whether it is there.
    """

    async def story(sender: PooledUpstreams) -> None:
        reply = await sender.send(create_request(create_credential(scripted), scripted.add(render_reply(200, b"{}"))))

        assert [b"{}"] == [piece async for piece in reply.chunks()]
        await reply.close()

    play(story)
