"""
The upstream's URL: https with a plain host, port and prefix; everything else is refused with a sentence.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.access.upstream import Upstream, parse_url

quick = settings(max_examples=100, deadline=None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://noojee.example.com", ("noojee.example.com", 443, "")),
        ("https://noojee.example.com/", ("noojee.example.com", 443, "")),
        ("HTTPS://Noojee.Example.COM", ("noojee.example.com", 443, "")),
        ("https://noojee.example.com.", ("noojee.example.com", 443, "")),
        ("https://noojee.example.com:8443", ("noojee.example.com", 8443, "")),
        ("https://noojee.example.com:65535/contact", ("noojee.example.com", 65535, "/contact")),
        ("https://n/a/b-c/d_e.f~g/", ("n", 443, "/a/b-c/d_e.f~g")),
        ("https://127.0.0.1:1", ("127.0.0.1", 1, "")),
        ("https://[::1]:8443/x", ("::1", 8443, "/x")),
        ("https://[2001:DB8::1]", ("2001:db8::1", 443, "")),
        (f"https://n/{'p' * 1014}", ("n", 443, "/" + "p" * 1014)),
        ("https://xn--bcher-kva.example", ("xn--bcher-kva.example", 443, "")),
    ],
)
def test_a_plain_https_url_is_read(url: str, expected: tuple[str, int, str]) -> None:
    """
    Host in lower case, the port always, the prefix without its last slash.
    """
    assert expected == parse_url(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "nothing"),
        ("noojee.example.com", "no scheme"),
        ("//noojee.example.com", "no scheme"),
        ("http://noojee.example.com", "plain text"),
        ("ftp://noojee.example.com", "another scheme"),
        ("https:noojee.example.com", "no authority"),
        ("https:///path", "no host"),
        ("https://:443", "no host"),
        ("https://./", "no host"),
        ("https://user@noojee.example.com", "a user name"),
        ("https://user:word@noojee.example.com", "a password"),
        ("https://@noojee.example.com", "an empty user name"),
        ("https://noojee.example.com@evil.example", "a host in disguise"),
        ("https://noojee.example.com?apiKey=x", "a query"),
        ("https://noojee.example.com/?", "an empty query"),
        ("https://noojee.example.com/#x", "a fragment"),
        ("https://noojee.example.com#", "an empty fragment"),
        ("https://noojee.example.com:0", "port 0"),
        (f"https://n/{'p' * 1015}", "longer than a request line has room for"),
        ("https://noojee.example.com:65536", "no port"),
        ("https://noojee.example.com:", "an empty port"),
        ("https://noojee.example.com:44x", "no number"),
        ("https://noojee.example.com:-1", "no number"),
        ("https://noojee.example.com:4٤3", "digits of another script"),
        ("https://noojee.example.com /", "a space"),
        ("https://noojee.example.com\t", "a tab, which urlsplit drops"),
        ("https://noojee\n.example.com", "a line end, which urlsplit drops"),
        ("https://noojee.example.com\\@evil.example", "a backslash"),
        ("https://nоojee.example.com", "a letter of another script"),  # noqa: RUF001 - meant
        ("https://noo%6Aee.example.com", "an escaped host"),
        ("https://noojee_x.example.com", "an underscore"),
        ("https://-noojee.example.com", "a dash in front"),
        ("https://noojee.example.com/a%2Fb", "an escape in the path"),
        ("https://noojee.example.com/a/../b", "a path that climbs"),
        ("https://noojee.example.com/./a", "a dot segment"),
        ("https://noojee.example.com//a", "an empty segment"),
        ("https://noojee.example.com/a;b", "a path parameter"),
        ("https://[::1", "half a bracket"),
        ("https://[fe80::1%25eth0]", "a zone"),
        ("https://fe80::1", "an address without brackets"),
        ("https://[noojee]", "no address in brackets"),
        ("https://[v1.noojee]", "an address of the future"),
    ],
)
def test_every_other_url_is_refused(url: str, why: str) -> None:
    """
    A sentence without the URL, which may hold a password or a key.
    """
    with pytest.raises(ValueError, match=r"^the URL") as caught:
        parse_url(url)

    assert not any(piece in str(caught.value) for piece in ("user:word", "apiKey", "evil")), why


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(max_size=30), st.text("htps:/[]@?#.%\\ a0é\n", max_size=20).map(lambda rest: "https://" + rest))
)
def test_reading_a_url_is_total(url: str) -> None:
    """
    A value whose origin reads back as itself, or a `ValueError`.
    """
    try:
        host, port, prefix = parse_url(url)
    except ValueError:
        return
    upstream = Upstream("main", host, port, prefix)

    assert (host, port, prefix) == parse_url(upstream.url) == (*parse_url(upstream.origin)[:2], prefix)


@pytest.mark.parametrize(
    ("host", "port", "prefix", "origin", "url", "host_header"),
    [
        ("n.example", 443, "", "https://n.example:443", "https://n.example", b"n.example"),
        ("n.example", 8443, "/x", "https://n.example:8443", "https://n.example:8443/x", b"n.example:8443"),
        ("::1", 443, "/x", "https://[::1]:443", "https://[::1]/x", b"[::1]"),
        ("::443", 1443, "", "https://[::443]:1443", "https://[::443]:1443", b"[::443]:1443"),
    ],
)
def test_an_upstream_renders_its_address(
    host: str, port: int, prefix: str, origin: str, url: str, host_header: bytes
) -> None:
    """
    The origin with its port, which seals are bound to; the URL and the Host without the scheme's own.
    """
    upstream = Upstream("main", host, port, prefix)

    assert (origin, url, host_header) == (upstream.origin, upstream.url, upstream.host_header)
