"""
The pool of our own beside the reference: the same replies come to the same result, or to a listed, stricter one.

Both senders speak real TLS to one scripted upstream, which says the same bytes to both.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import pytest
import uvloop
from malformed_replies import MALFORMED, MALFORMED_WITH_STATUS
from reply_scripts import generate_breaks, generate_cuts, generate_variants, generate_whole
from scripted_upstream import Ending, Script, ScriptedUpstream
from way_up import RING, Result, create_credential, create_request, fetch

from gateway.upstream.client import PooledUpstreams
from gateway.upstream.request import Timeouts
from tests.reference.httpx_client import HttpxUpstreams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMEOUTS = Timeouts(connect_seconds=10.0, send_seconds=10.0, between_bytes_seconds=10.0)

STRICTER = {
    "HTTP/0.9": "it has no status line, so this is not what it says it is",
    "HTTP/1.2": "we speak 1.1, and an answer in what is not specified can mean anything",
    "HTTP/2.0": "the same",
    "a status above 599": "RFC 9110 section 15: no status",
    "a control character in the reason": "RFC 9112 section 4",
    "a bare LF after the status line": "RFC 9112 section 2.2 allows it to servers' readers; two readers, two heads",
    "a bare LF after a header": "the same",
    "bare LFs throughout": "the same",
    "a folded header": "RFC 9112 section 5.2: obsolete, and read in two ways",
    "a control character in a header": "RFC 9110 section 5.5",
    "a DEL in a header": "the same",
    "two equal lengths": "RFC 9112 section 6.3 allows to refuse them; Tomcat sends one",
    "a list of lengths": "the same",
    "endless interim replies": "sixteen are enough",
    "an interim reply before HTTP/1.0": "HTTP/1.0 knows no 1xx",
    "a header of 70,000 bytes": "64 KiB for all headers; the reference stops at 100 kB in one piece",
    "70,000 bytes of headers": "the same",
    "200 headers": "128 are enough",
    "chunks in HTTP/1.0": "RFC 9112 section 6.1",
    "a control character in a trailer": "as in a header",
}
"""Replies that the reference takes and we do not."""

OTHERWISE = {
    "CHUNKED": "the reference writes the value of Transfer-Encoding anew; it goes no further in either",
    "a second reply": "a whole reply decides (law 2); we close the connection, the reference trips over the second",
}
"""Where both take a reply and differ, or the reference refuses what is whole for us."""


def generate_malformed() -> Iterator[tuple[str, Script]]:
    """
    The table of what is refused; the connection ends behind each, so that nobody waits for more.
    """
    for name, reply in (MALFORMED | MALFORMED_WITH_STATUS).items():
        yield name, Script((reply,), Ending.FIN)


GENERATORS = [generate_whole, generate_variants, generate_cuts, generate_breaks, generate_malformed]


async def fetch_all(
    sender: PooledUpstreams | HttpxUpstreams, upstream: ScriptedUpstream, scripts: dict[str, Script]
) -> dict[str, Result]:
    """
    One request for each script, one after the other.
    """
    credential = create_credential(upstream)
    results = {}
    try:
        for name, script in scripts.items():
            results[name] = await fetch(sender, create_request(credential, upstream.add_script(script)))
            if script.ending is not Ending.KEEP:
                await sender.forget(frozenset())  # a connection that is just ending must not meet the next one
    finally:
        await sender.close()
    return results


def compare(expected: Result, found: Result) -> str:
    """
    `same`, `stricter` where the reference takes what we refuse, or `otherwise`.

    Errors are the same when reason and outcome are: how much of a broken head is told as its status is the parsers'.
    """
    if expected == found:
        return "same"
    if expected.reason is not None and found.reason is not None:
        return "same" if dataclasses.replace(expected, status=found.status) == found else "otherwise"
    is_refused = (found.reason, found.outcome) == ("upstream_broke", "unknown")
    return "stricter" if is_refused and expected.reason is None else "otherwise"


@pytest.mark.parametrize("generate", GENERATORS)
def test_both_senders_come_to_the_same_result(
    scripted: ScriptedUpstream, generate: Callable[[], Iterator[tuple[str, Script]]]
) -> None:
    """
    Status, headers, body, or the error with its outcome; every difference is listed, and nothing is listed in vain.
    """
    scripts = dict(generate())
    expected = asyncio.run(fetch_all(HttpxUpstreams(ring=RING, timeouts=TIMEOUTS), scripted, scripts))
    for run in (asyncio.run, uvloop.run):
        found = run(fetch_all(PooledUpstreams(ring=RING, timeouts=TIMEOUTS), scripted, scripts))

        verdicts = {name: compare(expected[name], found[name]) for name in scripts}
        for verdict, listed in (("stricter", STRICTER), ("otherwise", OTHERWISE)):
            assert {name for name in listed if name in scripts} == {
                name for name, each in verdicts.items() if each == verdict
            }
    assert {True} == {result.was_handed_over for result in found.values()}


def test_enough_is_compared() -> None:
    """
    At least 200 replies, and each listed difference is among them.
    """
    names = [name for generate in GENERATORS for name, _ in generate()]

    assert len(names) == len(set(names)) > 200
    assert STRICTER.keys() | OTHERWISE.keys() <= set(names)


def test_what_is_listed_as_malformed_is_refused(scripted: ScriptedUpstream) -> None:
    """
    `upstream_broke`, `unknown`: it was sent, and what came back says nothing that counts.
    """
    scripts = dict(generate_malformed())
    found = asyncio.run(fetch_all(PooledUpstreams(ring=RING, timeouts=TIMEOUTS), scripted, scripts))

    assert {("upstream_broke", "unknown")} == {(result.reason, result.outcome) for result in found.values()}
    assert dict.fromkeys(MALFORMED_WITH_STATUS, 200) == {name: found[name].status for name in MALFORMED_WITH_STATUS}
