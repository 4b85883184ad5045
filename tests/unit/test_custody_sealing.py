"""
The seal: what was moved, repointed or altered does not open, and nothing of a key is seen when it does not.
"""

from __future__ import annotations

import base64
import dataclasses
import traceback
from pathlib import Path

import pytest

from gateway.access.credential import Credential, Kind
from gateway.access.upstream import AuthMethod, Upstream
from gateway.custody import Ring, SealError, open_key, seal_key
from gateway.secret import Secret

KEY = Secret("7d0c1c52-4a9e-4a0b-9a53-000000000001")
RING = Ring({1: bytes(range(32))}, Path("master.key"))
UPSTREAM = Upstream(name="noojee", host="noojee.example.com", port=443)
CREDENTIAL = Credential(
    credential_id="c1", name="alice", upstream=UPSTREAM, kind=Kind.USER, owner="alice@example.com", sealed=None
)


def _sealed() -> Credential:
    return dataclasses.replace(CREDENTIAL, sealed=seal_key(RING, KEY, CREDENTIAL))


def test_a_sealed_key_opens_in_its_place() -> None:
    """
    Seal and open are inverse; renaming the credential, another method or another prefix does not matter.
    """
    sealed = _sealed()
    harmless = dataclasses.replace(
        sealed, name="renamed", upstream=dataclasses.replace(UPSTREAM, prefix="/pbx", auth=AuthMethod.HASH, ca_pem="x")
    )

    assert KEY == open_key(RING, sealed)
    assert KEY == open_key(RING, harmless)


def test_equal_keys_have_different_seals_of_a_known_form() -> None:
    """
    Format byte 1, ring version 1, a nonce of its own; the key's text is not in it.
    """
    first, second = seal_key(RING, KEY, CREDENTIAL), seal_key(RING, KEY, CREDENTIAL)

    assert b"\x01\x00\x00\x00\x01" == first[:5] == second[:5]
    assert first != second
    assert 5 + 12 + 36 + 16 == len(first)
    assert KEY.reveal().encode() not in first


@pytest.mark.parametrize(
    "moved",
    [
        dataclasses.replace(CREDENTIAL, credential_id="c2"),
        dataclasses.replace(CREDENTIAL, kind=Kind.GLOBAL),
        dataclasses.replace(CREDENTIAL, owner="bob@example.com"),
        dataclasses.replace(CREDENTIAL, owner=None),
        dataclasses.replace(CREDENTIAL, owner=""),
        dataclasses.replace(CREDENTIAL, upstream=dataclasses.replace(UPSTREAM, name="other")),
        dataclasses.replace(CREDENTIAL, upstream=dataclasses.replace(UPSTREAM, host="evil.example.com")),
        dataclasses.replace(CREDENTIAL, upstream=dataclasses.replace(UPSTREAM, port=8443)),
    ],
    ids=["id", "kind", "owner", "no owner", "empty owner", "upstream", "host", "port"],
)
def test_a_key_that_was_moved_or_repointed_does_not_open(moved: Credential) -> None:
    """
    The seal is bound to credential, kind, owner, upstream and origin: whoever can write the registry gains nothing.
    """
    with pytest.raises(SealError):
        open_key(RING, dataclasses.replace(moved, sealed=_sealed().sealed))


def test_no_owner_is_no_owners_name() -> None:
    """
    A global key without owner does not open as that of an owner without a name, nor the other way round.
    """
    nobody = dataclasses.replace(CREDENTIAL, kind=Kind.GLOBAL, owner=None)
    sealed = seal_key(RING, KEY, nobody)
    with pytest.raises(SealError):
        open_key(RING, dataclasses.replace(nobody, owner="", sealed=sealed))

    assert KEY == open_key(RING, dataclasses.replace(nobody, sealed=sealed))


def test_no_altered_byte_opens() -> None:
    """
    Every byte of the seal is walked, and every shorter length; each fails as a SealError and as nothing else.
    """
    sealed = _sealed().sealed or b""
    altered = [sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :] for place in range(len(sealed))]
    shortened = [sealed[:length] for length in range(len(sealed))]
    for wrong in [*altered, *shortened, sealed + b"\x00"]:
        with pytest.raises(SealError):
            open_key(RING, dataclasses.replace(CREDENTIAL, sealed=wrong))


def test_the_newest_version_seals_and_every_version_opens() -> None:
    """
    A ring that grew opens what it sealed before; one without the version says so.
    """
    grown = Ring({1: bytes(range(32)), 2: bytes(32)}, Path("master.key"))
    sealed = dataclasses.replace(CREDENTIAL, sealed=seal_key(grown, KEY, CREDENTIAL))

    assert KEY == open_key(grown, _sealed())
    assert KEY == open_key(grown, sealed)
    with pytest.raises(SealError, match="version 2"):
        open_key(RING, sealed)


def test_a_removed_credential_has_no_key_to_open() -> None:
    """
    It is said by name, as an error of the seal.
    """
    with pytest.raises(SealError, match="alice has no key"):
        open_key(RING, CREDENTIAL)


def test_a_failure_shows_neither_key_nor_seal() -> None:
    """
    Law 3: the whole traceback is searched for the key, its base64 and the ring's bytes.
    """
    sealed = _sealed()
    with pytest.raises(SealError) as caught:
        open_key(RING, dataclasses.replace(sealed, owner="bob@example.com"))
    text = "".join(traceback.format_exception(caught.value)) + repr(sealed) + repr(RING)

    for secret in (KEY.reveal().encode(), bytes(range(32)), sealed.sealed or b""):
        assert secret.hex() not in text
        assert base64.b64encode(secret).decode() not in text
    assert KEY.reveal() not in text
