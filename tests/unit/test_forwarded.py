"""
Whose address stands in a forwarding header, read from the right, and what cannot be read.
"""

from __future__ import annotations

import pytest

from gateway.data_plane.forwarded import Forwarding
from gateway.data_plane.headers import Headers
from gateway.errors import CallerError, Reason

TRUSTED = ("10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1/32")
PROXY = "10.1.2.3"


def find(header: str, *values: str, peer: str = PROXY) -> str | None:
    """
    What a gateway behind these proxies takes for the caller's address.
    """
    headers = [(b"host", b"gateway"), *((header.encode(), value.encode("latin-1")) for value in values)]
    return Forwarding(TRUSTED, header).find_client(peer, Headers(headers))


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["192.0.2.7"], "192.0.2.7"),
        (["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        (["198.51.100.1, 192.0.2.7, 10.9.9.9"], "192.0.2.7"),
        (["198.51.100.1", "192.0.2.7", "10.9.9.9,127.0.0.1"], "192.0.2.7"),
        (["10.9.9.9, 10.2.2.2"], "10.9.9.9"),
        (["192.0.2.7:4711"], "192.0.2.7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["[2001:db8::7]:4711,\t[2001:db8:1::1]"], "2001:db8::7"),
        (["::ffff:192.0.2.7"], "192.0.2.7"),
        (["unknown, 192.0.2.7"], "192.0.2.7"),
    ],
)
def test_the_first_untrusted_address_from_the_right_is_the_callers(values: list[str], client: str) -> None:
    """
    Several headers are one list; of our proxies' addresses alone it is the leftmost, as nginx has it.
    """
    assert client == find("x-forwarded-for", *values)


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["for=192.0.2.7"], "192.0.2.7"),
        (['for=198.51.100.1;by=10.0.0.1 , For="[2001:db8::7]:4711";proto=https;host="a,b;c"'], "2001:db8::7"),
        (['for="192.0.2.7:4711", for=10.0.0.3'], "192.0.2.7"),
        (["for=10.9.9.9, for=10.2.2.2"], "10.9.9.9"),
        (['for=_hidden, for=unknown, for="192\\.0.2.7"'], "192.0.2.7"),
        (["proto=https", "for=192.0.2.7"], "192.0.2.7"),
    ],
)
def test_forwarded_is_read_as_its_rfc_has_it(values: list[str], client: str) -> None:
    """
    RFC 7239: pairs in any order and any case, quoted or not, with commas inside of quotes.
    """
    assert client == find("forwarded", *values)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-forwarded-for", ""),
        ("x-forwarded-for", "192.0.2.7,"),
        ("x-forwarded-for", "192.0.2.7, nonsense, 192.0.2.8"),
        ("x-forwarded-for", "192.0.2.256"),
        ("x-forwarded-for", "192.0.2.7:http"),
        ("x-forwarded-for", "fe80::1%eth0"),
        ("x-forwarded-for", "unknown"),
        ("x-forwarded-for", "192.0.2.7, unknown, 10.0.0.1"),
        ("x-forwarded-for", "\u0661\u0669".encode().decode("latin-1")),
        ("x-forwarded-for", ",".join(["192.0.2.7"] * 33)),
        ("forwarded", "192.0.2.7"),
        ("forwarded", "for=2001:db8::7"),
        ("forwarded", 'for="192.0.2.7'),
        ("forwarded", "for=192.0.2.7;for=192.0.2.8"),
        ("forwarded", "for=192.0.2.7 proto=https"),
        ("forwarded", "for=192.0.2.7,"),
        ("forwarded", "for=192.0.2.7;"),
        ("forwarded", "for = 192.0.2.7"),
        ("forwarded", "proto=https"),
        ("forwarded", "for=_secret"),
        ("forwarded", ",".join(["for=192.0.2.7"] * 33)),
    ],
)
def test_what_cannot_be_read_is_refused_and_not_quoted(header: str, value: str) -> None:
    """
    400, also where it stands left of what would decide: two readers could find two addresses in it.
    """
    with pytest.raises(CallerError) as caught:
        find(header, value)

    assert Reason.REQUEST_MALFORMED is caught.value.reason
    assert not value or value not in caught.value.detail


def test_nobody_else_is_believed() -> None:
    """
    Not a peer that is no proxy of ours, not another header, and nobody at all where no proxy is configured.
    """
    assert find("x-forwarded-for", "nonsense", peer="192.0.2.9") is None
    assert find("x-forwarded-for", peer=PROXY) is None
    assert Forwarding(TRUSTED, "forwarded").find_client(PROXY, Headers([(b"x-forwarded-for", b"192.0.2.7")])) is None
    assert Forwarding((), "forwarded").find_client(PROXY, Headers([(b"forwarded", b"for=192.0.2.7")])) is None
    assert not Forwarding(TRUSTED, "forwarded").trusts("")
