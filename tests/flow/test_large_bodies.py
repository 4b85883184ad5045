"""
Large bodies of two callers before one gateway with little room for them.
"""

from __future__ import annotations

import json
import select
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from installation import CAMPAIGN_API

if TYPE_CHECKING:
    from collections.abc import Sequence

    from installation import Gateway, Installation
    from noojee import Noojee

LEAD = f"{CAMPAIGN_API}/insertLeadFast?fTemplateId=1&fCampaignId=1&fAllocationId=1"
BODY = json.dumps({"phone": "0412345678", "comment": "x" * 1_000_000}).encode()
CALLERS = 40


def render_head(token: str) -> bytes:
    """
    The head of a call with that body.
    """
    return (
        f"POST {LEAD} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode()


def send_until_nothing_is_taken(callers: Sequence[socket.socket], data: bytes) -> list[int]:
    """
    Send the same over many connections, until for a second none of them takes any more. Returns how much each took.
    """
    sent = dict.fromkeys(callers, 0)
    open_callers = list(callers)
    while open_callers and (writable := select.select([], open_callers, [], 1.0)[1]):
        for caller in writable:
            sent[caller] += caller.send(data[sent[caller] : sent[caller] + 64 * 1024])
            if sent[caller] == len(data):
                open_callers.remove(caller)
    return list(sent.values())


def connect(gateway: Gateway) -> socket.socket:
    """
    A caller's connection whose kernel holds little that is not taken.
    """
    caller = socket.create_connection(("127.0.0.1", gateway.port), 20)
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
    caller.setblocking(False)
    return caller


def test_one_callers_unfinished_bodies_neither_fill_the_memory_nor_keep_another_out(
    installation: Installation, noojee: Noojee
) -> None:
    """
    Of 4 MiB it gets half: two of its bodies are read, the others wait unread in its own kernel.
    """
    hungry, other = (installation.add_caller(name, [("everything", ["*"])]) for name in ("hungry", "other"))
    with installation.serve(GATEWAY_BODY_MEMORY="4MiB") as gateway, ExitStack() as stack:
        callers = [stack.enter_context(connect(gateway)) for _ in range(CALLERS)]
        unfinished = render_head(hungry) + BODY[:-1]

        sent = send_until_nothing_is_taken(callers, unfinished)

        assert 2 == sent.count(len(unfinished))
        response = gateway.call(LEAD, other, body=BODY, headers={"Content-Type": "application/json"})
        assert (200, 1) == (response.status, len(noojee.requests()))
    assert "ERROR" not in installation.log()
