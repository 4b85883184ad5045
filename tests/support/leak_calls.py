"""
Every way in which a call can go, with keys and tokens wherever a caller or Noojee can put them.
"""

from __future__ import annotations

import contextlib
import http.client
import resource
import socket
from typing import TYPE_CHECKING
from urllib.parse import quote

from installation import API, CAMPAIGN_API, wait_until
from leak_story import KEYS
from raw_call import read_response, send_raw

from gateway.access.token import create_token_text
from gateway.simulator.faults import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from installation import Gateway
    from leak_story import Story

__all__ = [
    "carry_everywhere",
    "die_while_dialling",
    "drain",
    "exhaust_connections",
    "lose_the_journal",
    "meet_every_fault",
    "meet_every_refusal",
    "poll",
]

START = f"{API}/start?extenOrUniqueId=410"
STOP = f"{API}/stop?extenOrUniqueId=410"
LIST = f"{CAMPAIGN_API}/getCampaignList?fTemplateId=1"
DIAL = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/410"
POLL = f"{API}/subscribe?exten=499&lastSequenceNumber=0&timeOut=30"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


def carry_everywhere(story: Story, gateway: Gateway) -> None:
    """
    Calls that reach Noojee, with their token in each carrier and secrets in each place that is not looked at.
    """
    token, key = story.tokens["all"], KEYS["key that we do not hold"]
    secrets = [token, key, key.swapcase(), key.replace("-", ""), KEYS["global key"], f"is {key}?", f"<{token}>"]
    assert 200 == story.call(gateway, LIST, "campaigner").status
    assert 200 == story.call(gateway, LIST, None, headers={"X-API-Key": story.tokens["campaigner"]}).status
    assert 200 == story.call(gateway, f"{LIST}&apiKey={token}", None).status
    assert 200 == story.call(gateway, f"{LIST}&apiKey={token}", "all", headers={"X-API-Key": token}).status
    for secret in secrets:
        value = quote(secret, safe="")
        story.call(gateway, f"{DIAL}&autoAnswer={value}&phoneCaption={value}&tag={value}&unheard={value}")
        story.call(gateway, f"{LIST}&{value[:60]}=1", headers={"Host": value, "User-Agent": secret, "Cookie": secret})
        story.call(gateway, f"{API}/start?extenOrUniqueId={value}", headers={"Accept-Language": secret})
        body = f"tag={value}&api_key={value}&hash={value}&timeStamp={value}"
        story.call(gateway, START, headers=FORM, body=body.encode())
        lead = f'{{"notes": "{secret}"}}'.encode()
        story.call(gateway, f"{CAMPAIGN_API}/insertLeadFast?fTemplateId=1", headers=JSON, body=lead)
        story.call(gateway, f"{LIST}&API_KEY={value}&timeStamp={value}&hash={value}")


def meet_every_refusal(story: Story, gateway: Gateway) -> None:
    """
    Each reason that a caller can bring about by what it sends, with secrets in what is refused.
    """
    token, key = story.tokens["all"], KEYS["global key"]
    strange = create_token_text()[1].reveal()
    story.secrets["token that was never issued"] = strange
    bearer = f"Authorization: Bearer {token}\r\n"
    for method, target, caller, headers in (
        ("POST", f"{LIST};jsessionid={key}", "all", {}),
        ("POST", LIST, "all", {"X-API-Key": strange}),
        ("POST", f"{LIST}&x={key}&x={token}", "all", {}),
        ("POST", f"{LIST}&x=%ff{key}", "all", {}),
        ("POST", f"{LIST}&{token}{token}=1", "all", {}),
        ("POST", f"{LIST}&FTEMPLATEID={key}", "all", {}),
        ("POST", f"{LIST}&api_key={token}", None, {"Authorization": f"Basic {token}"}),
        ("POST", f"{LIST}&apiKey={token}x", None, {}),
        ("POST", f"{LIST}&apiKey={quote(KEYS['user key'], safe='')}", None, {}),
        ("POST", LIST, None, {"X-API-Key": KEYS["user key"]}),
        ("POST", LIST, None, {"X-API-Key": strange}),
        ("POST", f"{LIST}&apiKey={key}", "all", {}),
        ("POST", LIST, None, {"Authorization": f"bearer {KEYS['key that we do not hold']}"}),
        ("POST", LIST, "elsewhere", {}),
        ("POST", f"{LIST}&apiKey={story.tokens['header-only']}", None, {}),
        ("POST", f"{DIAL}&tag={key}", "recorder", {}),
        ("POST", f"{DIAL}&tag={key}", "overreaching", {}),
        ("POST", f"/servicemanager/rest/{key}/{token}", "all", {}),
        ("POST", f"/servicemanager/rest/Time?apiKey={token}", "all", {}),
        ("GET", f"{LIST}&x={key}", "all", {}),
        ("DELETE", f"/{token}?{key}", None, {"X-API-Key": key}),
        ("POST", f"{LIST}&x={(key + token) * 300}", "all", {}),
        ("POST", LIST, "all", {"X-Large": (key + token) * 500}),
    ):
        story.call(gateway, target, caller, method=method, headers=headers)
    for headers, body in (
        ({"Content-Type": f"text/{key}"}, token.encode()),
        ({**FORM, "Content-Encoding": token}, b"x=1"),
        (FORM, f"{token}={key}&{token}={key}".encode()),
        (FORM, f"tag=%zz{key}{token}".encode()),
        (FORM, (key + token).encode() * 20_000),
    ):
        story.call(gateway, START, headers=headers, body=body)
    for pieces in (
        (f"POST {LIST}&{key} HTTP/1.1\r\n{bearer}\r\n",),
        (f"POST {LIST} HTTP/1.1\r\nHost: x\r\n{bearer}{key} : {token}\r\n\r\n",),
        (f"{key} {token}\r\n\r\n",),
        (f"POST {START} HTTP/1.1\r\nHost: x\r\n{bearer}Content-Length: 99\r\n\r\n{key}",),
        (f"POST {START}&{key} HTTP/1.1\r\nHost: x\r\n{bearer}X: {key}",),
        (f"POST {START} HTTP/1.1\r\nHost: x\r\n{bearer}Transfer-Encoding: chunked\r\n\r\n", f"{key}\r\n{token}"),
    ):
        story.keep("what cannot be read", send_raw(gateway.port, *(piece.encode() for piece in pieces)))


def meet_every_fault(story: Story, gateway: Gateway) -> set[Kind]:
    """
    Each way in which Noojee or the network can break, for a write and a read; gives the kinds that were met.
    """
    key, user_key = KEYS["global key"], quote(KEYS["user key"], safe="")
    head = f"HTTP/1.1 200 OK\r\nX-Echo: {key}\r\nSet-Cookie: k={user_key}\r\nContent-Location: /?apiKey={key}\r\n"
    faults: list[tuple[Kind, object]] = [
        (Kind.DELAY, 0.01),
        (Kind.STATUS, 500),
        (Kind.STATUS, 403),
        (Kind.STATUS, 204),
        (Kind.REDIRECT, f"https://evil.example/?apiKey={key}&{user_key}"),
        (Kind.SET_COOKIE, f"key={key}; path=/{user_key}"),
        (Kind.CUT, 5),
        (Kind.RESET_BEFORE, None),
        (Kind.RESET_AFTER, None),
        (Kind.BODY, '{"Code": -5, "Message": "no"}'),
        (Kind.LARGE, 100_000),
        (Kind.CLOSE_DELIMITED, "not JSON"),
        (Kind.CLOSE_DELIMITED, None),
        (Kind.TRUNCATED, '{"Code": 0'),
        (Kind.CLOSE_IDLE, None),
        (Kind.RAW, f"{head}Content-Length: 2\r\n\r\n{{}}"),
        (Kind.RAW, f"{head}Content-Length: 200000\r\n\r\n" + "x" * 100_000),
        (Kind.RAW, f"apiKey={key}\r\n\r\n"),
        (Kind.STALL, f"{head}Content-Le"),
    ]
    for kind, value in faults:
        for target, caller in ((START, "all"), (LIST, "campaigner")):
            story.noojee.break_next("*", kind, value)
            with contextlib.suppress(http.client.HTTPException, ConnectionError):  # one of them is broken off
                story.call(gateway, target, caller)
    for caller in ("unknown", "stranger", "misnamed", "gone"):
        story.call(gateway, LIST, caller)
    story.run("credential remove doomed-key")
    story.call(gateway, LIST, "doomed")
    return {kind for kind, _ in faults}


@contextlib.contextmanager
def poll(story: Story, gateway: Gateway) -> Iterator[None]:
    """
    A long poll that is held for as long as the block, and what it gets when that ends it.
    """
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        head = f"POST {POLL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {story.tokens['all']}\r\n\r\n"
        connection.sendall(head.encode())
        wait_until(story.noojee.polls, "the poll waits at Noojee")
        yield
        story.keep("a poll", read_response(connection))


def die_while_dialling(story: Story, gateway: Gateway) -> None:
    """
    Kill -9 with a call at Noojee.
    """
    story.noojee.break_next("CallManagementAPI/dial", "delay", 5)
    before = len(story.noojee.requests())
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        head = f"POST {DIAL} HTTP/1.1\r\nHost: x\r\nX-API-Key: {story.tokens['all']}\r\n\r\n"
        connection.sendall(head.encode())
        wait_until(lambda: len(story.noojee.requests()) > before, "the dial is at Noojee")
        gateway.kill()


def exhaust_connections(story: Story, gateway: Gateway, connections: int) -> None:
    """
    One connection too many, with a token on it.
    """
    with contextlib.ExitStack() as held:
        for _ in range(connections):
            held.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=10))
        wait_until(lambda: story.call(gateway, LIST).status == 503, "the connections are counted")


def lose_the_journal(story: Story, gateway: Gateway) -> None:
    """
    A disk without space, for as long as it takes to be told.
    """
    _, hard = resource.prlimit(gateway.worker_pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.worker_pid, resource.RLIMIT_FSIZE, (0, hard))
    wait_until(lambda: story.call(gateway, LIST).status == 503, "a call is refused")
    resource.prlimit(gateway.worker_pid, resource.RLIMIT_FSIZE, (hard, hard))
    wait_until(lambda: story.call(gateway, LIST).status == 200, "calls are served again")


def drain(story: Story, gateway: Gateway) -> None:
    """
    SIGTERM while a poll waits.
    """
    with poll(story, gateway):
        gateway.process.terminate()
    gateway.process.wait(20)
