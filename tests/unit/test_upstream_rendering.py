"""
The head of an upstream request: byte-exact, our key first, and never two requests in one.
"""

from __future__ import annotations

import pytest

from gateway import __version__
from gateway.access.credential import Credential, Kind
from gateway.access.upstream import Upstream
from gateway.noojee.catalogue import load_catalogue
from gateway.secret import Secret
from gateway.upstream.rendering import HeadForm, render_api_key
from gateway.upstream.request import Patience, UpstreamRequest

NOOJEE = Upstream("noojee", "noojee.example.com", 443, prefix="/contact")


def create_request(
    query: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = (), body: bytes = b""
) -> UpstreamRequest:
    """
    A request of whatever operation.
    """
    operation = load_catalogue().find_by_name("CallManagementAPI/start")
    assert operation is not None
    credential = Credential("c1", "everything", NOOJEE, Kind.GLOBAL, None, None)
    return UpstreamRequest(credential, operation, query, headers, body, Patience(1.0, None))


def render(credential_query: bytes = b"apiKey=x", **more: bytes | tuple[tuple[bytes, bytes], ...]) -> bytes:
    """
    The head of such a request.
    """
    return HeadForm(NOOJEE).render(create_request(**more), credential_query)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("credential_query", "query", "target"),
    [
        (b"apiKey=x", b"a=1&b=%3B", b"/start?apiKey=x&a=1&b=%3B"),
        (b"apiKey=x", b"", b"/start?apiKey=x"),
        (b"", b"a=1", b"/start?a=1"),
        (b"", b"", b"/start"),
    ],
)
def test_the_credential_stands_first_in_the_query(credential_query: bytes, query: bytes, target: bytes) -> None:
    """
    Law 4: a reader that takes the first of two takes ours. What follows goes up as it is.
    """
    line = render(credential_query, query=query).partition(b"\r\n")[0]

    assert b"POST /contact/servicemanager/rest/CallManagementAPI" + target + b" HTTP/1.1" == line


def test_a_head_is_these_lines() -> None:
    """
    And no others; an empty body has its length too.
    """
    common = [
        b"Host: noojee.example.com",
        b"User-Agent: noojee-gateway/" + __version__.encode(),
        b"Accept-Encoding: identity",
    ]

    assert [*common, b"Content-Length: 0", b"", b""] == render().split(b"\r\n")[1:]
    headers = ((b"accept", b"*/*"), (b"Content-Type", b"application/json"))
    whole = render(headers=headers, body=b"{}").split(b"\r\n")[1:]
    assert [*common, b"accept: */*", b"Content-Type: application/json", b"Content-Length: 2", b"", b""] == whole


@pytest.mark.parametrize("character", [b"\r", b"\n", b" ", b"\x00", b"\t", b"\x7f", b"\xe9"])
def test_what_ends_a_target_is_refused(character: bytes) -> None:
    """
    The door has refused it before; here it would be a second request with our key.
    """
    with pytest.raises(ValueError, match="a query holds"):
        render(query=b"a=1" + character + b"b")


@pytest.mark.parametrize("character", [b"\r", b"\n", b"\r\n"])
def test_what_ends_a_header_is_refused(character: bytes) -> None:
    """
    The same.
    """
    with pytest.raises(ValueError, match="a header holds"):
        render(headers=((b"accept", b"*/*" + character + b"X: y"),))


@pytest.mark.parametrize(
    ("key", "rendered"),
    [
        ("7f0e1b52-1111-4222-8333-abcdefabcdef", b"7f0e1b52-1111-4222-8333-abcdefabcdef"),
        ("a.b_c~d", b"a.b_c~d"),
        ("a&b=c d\r\n", b"a%26b%3Dc%20d%0D%0A"),
        ("\u00e9", b"%C3%A9"),
    ],
)
def test_a_key_is_one_value(key: str, rendered: bytes) -> None:
    """
    Whatever characters it has.
    """
    assert b"apiKey=" + rendered == render_api_key(Secret(key))
