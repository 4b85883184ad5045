"""
What heads the door refuses and what it makes of those it takes: contract section 4, facts.md section 2.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flow.door.conftest import House

    OpenHouse = Callable[..., House]

MALFORMED = {
    "bare LF after the request line": b"POST / HTTP/1.1\nHost: a\r\n\r\n",
    "bare LF everywhere, never an empty line with CRLF": b"POST / HTTP/1.1\nHost: a\n\n",
    "bare LF after a header": b"POST / HTTP/1.1\r\nHost: a\n\r\n",
    "bare CR in a header": b"POST / HTTP/1.1\r\nHost: a\r\r\n\r\n",
    "obsolete folding": b"POST / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "space before the colon": b"POST / HTTP/1.1\r\nHost : a\r\n\r\n",
    "space before the first header": b"POST / HTTP/1.1\r\n Host: a\r\n\r\n",
    "empty header name": b"POST / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "NUL in a value": b"POST / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
    "control character in a value": b"POST / HTTP/1.1\r\nHost: a\r\nX: b\x01\r\n\r\n",
    "no Host": b"POST / HTTP/1.1\r\n\r\n",
    "no Host in 1.0": b"POST / HTTP/1.0\r\n\r\n",
    "two Hosts": b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two equal Hosts": b"POST / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
    "empty Host": b"POST / HTTP/1.1\r\nHost: \r\n\r\n",
    "Host with a path": b"POST / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "Host with userinfo": b"POST / HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "Host with a list": b"POST / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "Host with a bad port": b"POST / HTTP/1.1\r\nHost: a:b\r\n\r\n",
    "Content-Length beside Transfer-Encoding": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "Transfer-Encoding beside Content-Length": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"
    ),
    "two equal lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "a list of lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na",
    "a signed length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
    "an empty length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
    "a length beyond 64 bits": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "gzip, chunked": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity and chunked on two lines": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "identity": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
    "Transfer-Encoding in 1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "fragment": b"POST /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n",
    "fragment in absolute form": b"POST http://a/b#c HTTP/1.1\r\nHost: a\r\n\r\n",
    "raw semicolon": b"POST /a;b HTTP/1.1\r\nHost: a\r\n\r\n",
    "raw semicolon in the query": b"POST /a?b=1;c=2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "raw byte above ASCII": b"POST /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "raw byte above ASCII in the query": b"POST /a?b=\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "raw space, as the Java client sends with a tag": b"POST /a?tag=b c HTTP/1.1\r\nHost: a\r\n\r\n",
    "raw control character": b"POST /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "asterisk form": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target without slash": b"POST a HTTP/1.1\r\nHost: a\r\n\r\n",
    "another scheme": b"POST ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute form with userinfo": b"POST http://u:p@a/b HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute form without authority": b"POST http:///b HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT to a path": b"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "lower-case method": b"post / HTTP/1.1\r\nHost: a\r\n\r\n",
    "unknown method": b"NONSENSE / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/0.9": b"POST / HTTP/0.9\r\nHost: a\r\n\r\n",
    "no version": b"POST /\r\n\r\n",
    "HTTP/1.2": b"POST / HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"POST / HTTP/2.0\r\nHost: a\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another protocol": b"DESCRIBE / RTSP/1.0\r\nHost: a\r\n\r\n",
    "two spaces before the target": b"POST  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "two spaces behind the target": b"POST /  HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tab in the request line": b"POST\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "bare LF before the request line": b"\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n",
    "too many empty lines": b"\r\n" * 40 + b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a TLS handshake on the plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


def test_a_malformed_head_is_400_and_no_call(open_house: OpenHouse) -> None:
    """
    Each row of the table is answered with 400 `request_malformed`, whole or in two packets; none reaches the handler.
    """
    house = open_house()
    for what, head in MALFORMED.items():
        for pieces in ((head,), (head[: len(head) // 2], head[len(head) // 2 :])):
            reply = house.exchange(*pieces)

            assert (400, "close") == (reply.status, reply.headers["connection"]), what
            assert "request_malformed" == json.loads(reply.body)["reason"], what

    assert [] == house.calls
    assert [("request_malformed", "127.0.0.1")] * 2 * len(MALFORMED) == [(r.code, peer) for r, peer in house.refusals]


def test_a_refusal_is_problem_json_with_the_members_of_the_contract(open_house: OpenHouse) -> None:
    """
    Every member of RFC 9457 and Noojee's two are there, with the request id in both places.
    """
    reply = open_house().exchange(b"POST / HTTP/1.1\r\n\r\n")
    problem = json.loads(reply.body)

    assert ["type", "title", "status", "detail", "instance", "reason", "Code", "Message"] == list(problem)
    assert "application/problem+json" == reply.headers["content-type"]
    assert "urn:noojee-gateway:error:request_malformed" == problem["type"]
    assert (-1001, problem["detail"]) == (problem["Code"], problem["Message"])
    assert f"urn:uuid:{reply.headers['x-request-id']}" == problem["instance"]


def test_every_answer_carries_the_headers_of_the_house(open_house: OpenHouse) -> None:
    """
    Calls, refusals and health alike; and none names the server.
    """
    house = open_house()
    for data in (
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"junk\r\n\r\n",
    ):
        headers = house.exchange(data).headers

        assert re.fullmatch(
            "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", headers["x-request-id"]
        )
        assert ("no-store", "nosniff") == (headers["cache-control"], headers["x-content-type-options"])
        assert ("no-referrer", "sandbox") == (headers["referrer-policy"], headers["content-security-policy"])
        assert not {"server", "date"} & set(headers)


def test_a_head_is_understood_alike_however_it_is_cut(open_house: OpenHouse) -> None:
    """
    The same head in one packet, cut at every place, and byte by byte gives the same call.
    """
    house = open_house()
    head = b"POST /a//b%2Fc?d=%3B&e HTTP/1.1\r\nHost: a:80\r\nX-Empty:\r\nX-Odd:  \t v \xff \t\r\n\r\n"
    with house.connect() as caller:
        for cut in range(1, len(head)):
            caller.socket.sendall(head[:cut])
            caller.socket.sendall(head[cut:])

            assert b"POST /a//b%2Fc?d=%3B&e " == caller.read_reply().body
        for number in range(len(head)):
            caller.socket.sendall(head[number : number + 1])
        caller.read_reply()

    expected = ((b"host", b"a:80"), (b"x-empty", b""), (b"x-odd", b"v \xff"))
    assert {expected} == {tuple(call.headers.pairs) for call in house.calls}
    assert {("1.1", "127.0.0.1", False, 0)} == {
        (call.http_version, call.peer, call.has_body, call.declared_length) for call in house.calls
    }


def test_an_absolute_form_loses_its_authority(open_house: OpenHouse) -> None:
    """
    Where the caller says it goes has no influence; path and query stay as they came.
    """
    house = open_house()
    for target, expected in {
        b"http://elsewhere:99/a%2Fb?c=d": b"/a%2Fb?c=d",
        b"HTTPS://elsewhere/a": b"/a",
        b"http://elsewhere": b"/",
        b"http://[::1]:80?c": b"/?c",
        b"//elsewhere/a": b"//elsewhere/a",
        b"/a?": b"/a?",
    }.items():
        reply = house.exchange(b"POST %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)

        assert b"POST %b " % expected == reply.body


def test_sizes_are_bounded_exactly(open_house: OpenHouse) -> None:
    """
    A request line of 16 KiB and a head of 32 KiB pass; a byte more is 414 and 431; a declared body over 1 MiB is 413.
    """
    house = open_house()

    def ask(line_bytes: int, head_bytes: int) -> int:
        line = b"POST /%b HTTP/1.1" % (b"a" * (line_bytes - 15))
        rest = b"\r\nHost: a\r\nX: %b\r\n\r\n"
        head = line + rest % (b"b" * (head_bytes - len(line) - len(rest) + 2))

        assert (line_bytes, head_bytes) == (len(line), len(head))
        return house.exchange(head).status

    assert 200 == ask(16 * 1024, 32 * 1024)
    assert 414 == ask(16 * 1024 + 1, 32 * 1024)
    assert 431 == ask(16 * 1024, 32 * 1024 + 1)
    assert 414 == house.exchange(b"POST /" + b"a" * 20_000).status
    assert 431 == house.exchange(b"POST / HTTP/1.1\r\nX: " + b"a" * 40_000).status
    assert 413 == house.exchange(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n").status
    assert 400 == house.exchange(b"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n").status

    reasons = ["target_too_long", "headers_too_large", "target_too_long", "headers_too_large", "body_too_large"]
    assert [*reasons, "request_malformed"] == [reason.code for reason, _ in house.refusals]


def test_known_methods_are_calls(open_house: OpenHouse) -> None:
    """
    The door refuses no method that llhttp knows but CONNECT: what it may do is the pipeline's to say.
    """
    house = open_house()
    for method in (b"GET", b"POST", b"OPTIONS", b"DELETE", b"PUT", b"PATCH", b"TRACE", b"PROPFIND"):
        assert b"%b / " % method == house.exchange(b"%b / HTTP/1.1\r\nHost: a\r\n\r\n" % method).body


def test_head_is_answered_without_a_body(open_house: OpenHouse) -> None:
    """
    HEAD gets the length of what GET would get, and the connection goes on; a refused HEAD gets no body either.
    """
    house = open_house()
    with house.connect() as caller:
        reply = caller.send(b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n").read_reply(to_head=True)

        assert (200, "8") == (reply.status, reply.headers["content-length"])
        assert b"GET /b " == caller.send(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n").read_reply().body

        reply = caller.send(b"HEAD /a HTTP/1.1\r\n\r\n").read_reply(to_head=True)

        assert (400, b"") == (reply.status, caller.read_to_end())


def test_http_1_0_is_answered_and_closed(open_house: OpenHouse) -> None:
    """
    An old caller gets its answer with a length, and the connection's end, keep-alive asked for or not.
    """
    house = open_house()
    for wish in (b"", b"Connection: keep-alive\r\n"):
        with house.connect() as caller:
            reply = caller.send(b"POST /a HTTP/1.0\r\nHost: a\r\n%b\r\n" % wish).read_reply()

            assert (b"POST /a ", "close") == (reply.body, reply.headers["connection"])
            assert b"" == caller.read_to_end()
    assert ["1.0", "1.0"] == [call.http_version for call in house.calls]


def test_only_the_exact_health_paths_go_to_the_application(open_house: OpenHouse) -> None:
    """
    `/healthz` and `/readyz` in any method, with or without a query; what only looks like them is a call.
    """
    house = open_house()

    assert b"GET /healthz  !" == house.exchange(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").body
    assert (
        b"POST /readyz a=b body!"
        == house.exchange(b"POST /readyz?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").body
    )
    assert [] == house.calls
    for target in (b"/healthz/", b"/%68ealthz", b"//healthz", b"/readyzz", b"/Readyz"):
        assert b"GET %b " % target == house.exchange(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target).body


def test_an_empty_line_before_a_request_is_skipped(open_house: OpenHouse) -> None:
    """
    RFC 9112 section 2.2: some callers send one behind a body. It begins no request.
    """
    with open_house().connect() as caller:
        caller.send(b"\r\n", b"\r", b"\nPOST /a HTTP/1.1\r\nHost: a\r\n\r\n\r\n")

        assert b"POST /a " == caller.read_reply().body
