"""
The way to an upstream as operators set it: proxy and password, pins, old TLS; on record, and rotated with the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from admin_office import Office

from gateway.administration import installation, keys, upstreams
from gateway.custody import Ring, open_proxy_password
from gateway.errors import OperatorError, OperatorReason
from gateway.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.access.upstream import Upstream
    from gateway.administration.desk import Desk

PASSWORD = "correct horse 4711"
PROXY = "http://gate%20way@proxy.example.com:3128"
PIN = "sha256//" + "A" * 43 + "="
OTHER_PIN = "sha256//" + "B" * 42 + "A="


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """
    A data folder with the upstream noojee.
    """
    made = Office(tmp_path / "data", tmp_path / "run")
    installation.init(**made.place)
    with made.open_desk() as desk:
        upstreams.add(desk, "noojee", url="https://noojee.example.com")
    return made


def get_upstream(desk: Desk) -> Upstream:
    """
    As it is stored.
    """
    with desk.reading() as registry:
        return upstreams.get_upstream(registry, "noojee")


def test_a_proxys_password_is_sealed_recorded_nowhere_and_rotated_with_the_master_key(office: Office) -> None:
    """
    It opens for this proxy's user before this upstream, under whichever version of the ring is newest.
    """
    with office.open_desk() as desk:
        shown = upstreams.change(desk, "noojee", proxy=PROXY, proxy_password=Secret(PASSWORD))
        keys.rotate(desk)
        keys.prune(desk)
    with office.open_desk() as desk:
        upstream = get_upstream(desk)
        opened = open_proxy_password(Ring.load(office.data_dir / "master.key"), upstream)

    assert PROXY == shown["proxy"]
    assert opened is not None
    assert PASSWORD == opened.reveal()
    everything = b"".join(path.read_bytes() for path in office.data_dir.rglob("*") if path.is_file())
    assert PASSWORD.encode() not in everything
    assert PASSWORD not in repr(upstream)
    changed = next(record for record in office.read_journal() if record["tag"] == "upstream.changed")
    assert PROXY == changed["change"]["proxy"]


def test_none_takes_proxy_and_pins_away_again(office: Office) -> None:
    """
    What is not named stays; pins are given all at once, each once.
    """
    with office.open_desk() as desk:
        upstreams.change(desk, "noojee", proxy="http://[2001:db8::1]:3128")
        shown = upstreams.change(desk, "noojee", pins=[PIN, OTHER_PIN, PIN], allow_old_tls=True)
        upstreams.change(desk, "noojee", url="https://noojee.example.com/contact")
        stays = upstreams.get(desk, "noojee")
        upstreams.change(desk, "noojee", proxy="none")
        bare = upstreams.change(desk, "noojee", pins=["none"], allow_old_tls=False)

    way = ("proxy", "pins", "allow_old_tls")
    assert ["http://[2001:db8::1]:3128", [PIN, OTHER_PIN], True] == [shown[name] for name in way]
    assert [shown[name] for name in way] == [stays[name] for name in way]
    assert [None, [], False] == [bare[name] for name in way]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"proxy": "https://proxy.example.com:3128"}, "must start with http://"),
        ({"proxy": "http://proxy.example.com"}, "needs a port"),
        ({"proxy": "http://proxy.example.com:0"}, "needs a port"),
        ({"proxy": "http://proxy.example.com:99999"}, "not well-formed"),
        ({"proxy": "http://proxy.example.com:3128/path"}, "must end with its port"),
        ({"proxy": "http://:3128"}, "needs a host"),
        ({"proxy": "http://user:pass@proxy.example.com:3128"}, "never in the URL"),
        ({"proxy": "http://@proxy.example.com:3128"}, "printable characters without a colon"),
        ({"proxy": "http://a%3Ab@proxy.example.com:3128"}, "printable characters without a colon"),
        ({"proxy": "http://CORP\\user@proxy.example.com:3128"}, "write %5C"),
        ({"proxy": PROXY}, "needs a password"),
        ({"proxy": PROXY, "proxy_password": Secret("x" * 257)}, "needs a password"),
        ({"proxy": "http://proxy.example.com:3128", "proxy_password": Secret("x")}, "needs a user"),
        ({"pins": ["sha256//short"]}, "44 characters"),
        ({"pins": ["sha1//" + "A" * 43 + "="]}, "44 characters"),
        ({"pins": ["none", PIN]}, "44 characters"),
        ({"allow_old_tls": True}, "together with --pin"),
    ],
)
def test_what_cannot_be_a_way_is_refused_and_changes_nothing(
    office: Office, parts: dict[str, object], said: str
) -> None:
    """
    With a sentence that quotes nothing of a URL in which somebody may have left a password.
    """
    with office.open_desk() as desk:
        before = get_upstream(desk)
        with pytest.raises(OperatorError) as caught:
            upstreams.change(desk, "noojee", **parts)  # type: ignore[arg-type]  # a table of wrong values

        assert OperatorReason.INVALID is caught.value.reason
        assert said in caught.value.detail
        assert "pass@" not in caught.value.detail
        assert before == get_upstream(desk)


def test_old_tls_does_not_outlive_its_last_pin(office: Office) -> None:
    """
    Taking the pins away without the permission is refused, with what to do.
    """
    with office.open_desk() as desk:
        upstreams.change(desk, "noojee", pins=[PIN], allow_old_tls=True)
        with pytest.raises(OperatorError) as caught:
            upstreams.change(desk, "noojee", pins=["none"])

        assert "--no-allow-old-tls" in caught.value.detail
        assert get_upstream(desk).allow_old_tls
