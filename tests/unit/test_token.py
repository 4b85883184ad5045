"""
The token's text: its form and check digits, what is not one, and how long one is good.
"""

from __future__ import annotations

import hashlib
import re
import string
import uuid
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.access.token import Token, create_token_text, digest_token, has_upstream_key_form, is_well_formed
from gateway.secret import Secret

quick = settings(max_examples=100, deadline=None)

FORM = re.compile(r"^njg_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}$")
DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase

ids = st.text(DIGITS, min_size=12, max_size=12)
secrets = st.text(DIGITS, min_size=32, max_size=32)


def with_check_digits(stem: str) -> str:
    """
    A second implementation of contract section 3: CRC-32, base 62, most significant digit first, six digits.
    """
    number = zlib.crc32(stem.encode())
    return stem + "_" + "".join(DIGITS[number // 62**place % 62] for place in range(5, -1, -1))


def test_a_new_token_has_the_contract_s_form() -> None:
    """
    The id is its second part; the text is a `Secret`.
    """
    token_id, secret = create_token_text()
    text = secret.reveal()

    assert isinstance(secret, Secret)
    assert FORM.match(text)
    assert token_id == text.split("_")[1]
    assert is_well_formed(text)


def test_no_two_tokens_are_alike() -> None:
    """
    Neither in their ids nor in their secrets.
    """
    texts = [create_token_text()[1].reveal().split("_") for _ in range(200)]

    assert 200 == len({parts[1] for parts in texts}) == len({parts[2] for parts in texts})


@quick
@given(ids, secrets)
def test_check_digits_are_the_crc_in_base_62(token_id: str, secret: str) -> None:
    """
    What another implementation renders is well-formed here.
    """
    text = with_check_digits(f"njg_{token_id}_{secret}")

    assert FORM.match(text)
    assert is_well_formed(text)


@quick
@given(ids, secrets, st.integers(4, 56), st.sampled_from(DIGITS + "_-é４"))
def test_one_changed_character_is_noticed(token_id: str, secret: str, place: int, other: str) -> None:
    """
    A CRC-32 finds every change within 32 bits, so any one character's.
    """
    text = with_check_digits(f"njg_{token_id}_{secret}")
    changed = text[:place] + other + text[place + 1 :]

    assert is_well_formed(changed) is (changed == text)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _text: "",
        lambda text: text[:-1],
        lambda text: text[1:],
        lambda text: text + "0",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text + " ",
        lambda text: text.upper(),
        lambda text: text.replace("njg", "NJG"),
        lambda text: text.replace("_", "-"),
        lambda text: text + "\x00",
        lambda text: text * 2,
        lambda text: "\udcff" + text[1:],
        lambda text: text.replace(text[5], chr(ord("０") + 1), 1),  # noqa: RUF001 - a full-width digit is meant
        lambda _text: str(uuid.uuid4()),
    ],
)
def test_what_was_not_copied_whole_is_malformed(damage: object) -> None:
    """
    Cut, padded, changed in case, doubled, in other digits.
    """
    assert callable(damage)
    assert not is_well_formed(damage(with_check_digits("njg_abcdefghijkl_" + "0123456789ABCDEF" * 2)))


@quick
@given(st.text(max_size=80))
def test_the_check_is_total(text: str) -> None:
    """
    Any text gets an answer.
    """
    assert is_well_formed(text) in {True, False}
    assert has_upstream_key_form(text) in {True, False}


def test_a_token_is_kept_as_its_sha_256() -> None:
    """
    32 bytes, of the whole text.
    """
    text = create_token_text()[1].reveal()

    assert hashlib.sha256(text.encode()).digest() == digest_token(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00000000-0000-0000-0000-000000000000", True),
        ("0A1b2C3d-4E5f-6789-aBcD-EF0123456789", True),
        ("00000000-0000-0000-0000-00000000000", False),
        ("00000000-0000-0000-0000-0000000000000", False),
        ("00000000000000000000000000000000", False),
        ("{00000000-0000-0000-0000-000000000000}", False),
        ("g0000000-0000-0000-0000-000000000000", False),
        ("00000000-0000-0000-0000-000000000000\n", False),
        ("０0000000-0000-0000-0000-000000000000", False),  # noqa: RUF001 - a full-width digit is meant
        ("", False),
    ],
)
def test_a_uuid_looks_like_a_noojee_key(text: str, *, expected: bool) -> None:
    """
    In either case, with its dashes, and nothing around it.
    """
    assert expected is has_upstream_key_form(text)


def test_no_token_looks_like_a_noojee_key() -> None:
    """
    And no Noojee key like a token: each text has one meaning at the door.
    """
    assert not has_upstream_key_form(create_token_text()[1].reveal())
    assert not is_well_formed(str(uuid.uuid4()))


def test_a_token_expires_at_its_instant() -> None:
    """
    Good until then, not at it; a token without an instant never expires.
    """
    expires_at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    token = Token("abcdefghijkl", "crm", expires_at)

    assert not token.is_expired(expires_at - timedelta(microseconds=1))
    assert token.is_expired(expires_at)
    assert token.is_expired(expires_at + timedelta(days=1))
    assert not Token("abcdefghijkl", "crm", None).is_expired(datetime.max.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        "njg_000000000000_00000000000000000000000000000000_14oSyr",  # CRC-32 987265981, as gzip computes it
        "njg_000000000000_00000000000000000000000000000008_0x3eQB",  # below 62**5: padded with a zero
    ],
)
def test_check_digits_of_known_stems(text: str) -> None:
    """
    Fixed vectors, so that two equal mistakes in two implementations would show.
    """
    assert is_well_formed(text)
    assert text == with_check_digits(text[:-7])
