"""
Parameters: one reading of query and form, credentials taken out in every spelling, everything doubtful refused.
"""

from __future__ import annotations

import re
import time
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import CallerError, Reason
from gateway.noojee.catalogue import Operation, load_catalogue
from gateway.noojee.parameters import (
    Parameter,
    find_query_tokens,
    parse_parameters,
    parse_poll_seconds,
    split_target,
    strip_credentials,
)

quick = settings(max_examples=100, deadline=None)

CREDENTIALS = ("apiKey", "timeStamp", "hash")


def operation(name: str = "CallManagementAPI/stop") -> Operation:
    """
    An operation of the catalogue.
    """
    found = load_catalogue().find_by_name(name)
    assert found is not None
    return found


def read(query: bytes = b"", form: bytes = b"", name: str = "CallManagementAPI/stop") -> list[tuple[str, str]]:
    """
    What a call's query and form are read as.
    """
    return [(each.name, each.value) for each in parse_parameters(operation(name), query, form)]


def refusal(query: bytes = b"", form: bytes = b"", name: str = "CallManagementAPI/stop") -> Reason:
    """
    The reason for which a call's query and form are refused.
    """
    with pytest.raises(CallerError) as caught:
        parse_parameters(operation(name), query, form)
    return caught.value.reason


@st.composite
def spellings(draw: st.DrawFn) -> bytes:
    """
    A credential parameter's name in any case, with anything but letters between, each byte plain or escaped.
    """
    letters = draw(st.sampled_from(CREDENTIALS))
    raw = b""
    for letter in letters:
        filler = draw(st.sampled_from(["", "", "", "_", "-", ".", "0", " ", "\x00", "=", "&", "é", "[]"]))
        for byte in filler.encode() + draw(st.sampled_from([letter.lower(), letter.upper()])).encode():
            must_escape = byte in b"&=+% \x00" or byte >= 0x80
            form = "%%%02x" if draw(st.booleans()) else "%%%02X"
            raw += (form % byte).encode() if must_escape or draw(st.integers(0, 3)) == 0 else bytes([byte])
    return raw


# Items of a query as a hostile caller may write them: any bytes but the separator.
items = st.binary(max_size=12).map(lambda raw: raw.replace(b"&", b""))
innocent = st.sampled_from(
    [b"", b"=", b"exten=410", b"number=%2b61", b"a", b"api=Key", b"hashes=1", b"%ff=%0", b"x=hash"]
)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/a/b", (b"/a/b", b"")),
        (b"/a/b?", (b"/a/b", b"")),
        (b"/a/b?c=d", (b"/a/b", b"c=d")),
        (b"/a?b?c=d?", (b"/a", b"b?c=d?")),
        (b"/a%3Fb?c", (b"/a%3Fb", b"c")),
    ],
)
def test_a_target_is_cut_at_its_first_question_mark(target: bytes, expected: tuple[bytes, bytes]) -> None:
    """
    Both parts stay raw.
    """
    assert expected == split_target(target)


@pytest.mark.parametrize(
    ("query", "expected", "why"),
    [
        (b"", [], "nothing"),
        (b"apiKey=t", ["t"], "plain"),
        (b"a=b&apiKey=t&c=d", ["t"], "anywhere"),
        (b"api%4Bey=t%5f1", ["t_1"], "name and value are decoded"),
        (b"apiKey=t+1", ["t 1"], "a plus is a space"),
        (b"apiKey=1&apiKey=2", ["1", "2"], "every one of them"),
        (b"apikey=t&APIKEY=t&api_key=t&api+Key=t", [], "case-exact, nothing else is a carrier"),
        (b"timeStamp=1&hash=2", [], "the hash pair is none"),
        (b"apiKey&apiKey=", [], "an empty value is no token"),
        (b"apiKey=%ff", ["\ufffd"], "what is no UTF-8 is malformed as a token and nothing else"),
        (b"apiKey=a=b", ["a=b"], "a value may hold an equals sign"),
    ],
)
def test_a_token_in_the_query_stands_under_api_key(query: bytes, expected: list[str], why: str) -> None:
    """
    `apiKey`, decoded and case-exact, is the one carrier in the query.
    """
    assert expected == find_query_tokens(query), why


@pytest.mark.parametrize(
    ("raw", "expected", "why"),
    [
        (b"", b"", "nothing"),
        (b"exten=410", b"exten=410", "none there"),
        (b"apiKey=x", b"", "alone"),
        (b"apiKey", b"", "without a value"),
        (b"a=1&apiKey=x&b=2", b"a=1&b=2", "in between"),
        (b"API_KEY=x&api-key=x&apikey=x&a.p.i.k.e.y=x", b"", "any spelling of the same letters"),
        (b"api%4Bey=x&%61%70%69%4b%45%59=x", b"", "escaped"),
        (b"api+key=x&apiKey+=x&+apiKey=x&apiKey%00=x", b"", "with white space and control characters"),
        (b"apiKey[]=x&apiKey1=x&apiKey%C3%A9=x", b"", "with what is no ASCII letter"),
        (b"api%E2%84%AAey=x&ha%C5%BFh=x", b"", "with a letter that is one in lower case: KELVIN SIGN, LONG S"),
        (b"%EF%BD%81piKey=x", b"", "with a full-width letter"),
        (b"timeStamp=1&hash=2&Hash=3&TIMESTAMP=4", b"", "the hash pair"),
        (b"apiKe%y=x", b"", "around a broken escape"),
        (
            b"apiKeys=x&myapiKey=x&api=x&hashed=1",
            b"apiKeys=x&myapiKey=x&api=x&hashed=1",
            "other letters are other names",
        ),
        (b"number=apiKey&tag=hash", b"number=apiKey&tag=hash", "values are no names"),
        (b"&&a=%zz&=&apiKey=x&", b"&&a=%zz&=&", "other bytes as they were"),
        (b"x;apiKey=1", b"x;apiKey=1", "`&` alone separates"),
    ],
)
def test_credential_parameters_are_taken_out(raw: bytes, expected: bytes, why: str) -> None:
    """
    Every name that, decoded, letters only and in lower case, is `apikey`, `timestamp` or `hash` (contract section 3).
    """
    assert expected == strip_credentials(raw), why


@quick
@given(
    st.lists(st.tuples(spellings(), st.one_of(st.none(), items)), max_size=4),
    st.lists(innocent, max_size=6),
    st.randoms(),
)
def test_stripping_keeps_every_other_byte(
    credentials: list[tuple[bytes, bytes | None]], others: list[bytes], random: object
) -> None:
    """
    Wherever credential parameters stand among others, what is left is exactly the others, in their order.
    """
    mixed = list(others)
    for name, value in credentials:
        mixed.insert(random.randint(0, len(mixed)), name if value is None else name + b"=" + value)  # type: ignore[attr-defined]  # hypothesis hands in a random.Random

    assert b"&".join(others) == strip_credentials(b"&".join(mixed))


@quick
@given(st.lists(st.one_of(items, spellings(), innocent), max_size=8))
def test_nothing_that_is_read_as_a_credential_is_left(raw_items: list[bytes]) -> None:
    """
    Stripped bytes hold no token carrier, are the same stripped again, and are read without any credential name.
    """
    stripped = strip_credentials(b"&".join(raw_items))

    assert [] == find_query_tokens(stripped)
    assert stripped == strip_credentials(stripped)
    try:
        names = [name for name, _ in read(stripped)]
    except CallerError:
        return
    assert not {re.sub("[^a-z]", "", name.casefold()) for name in names} & {"apikey", "timestamp", "hash"}


def test_a_flood_of_items_is_refused_before_any_is_looked_at() -> None:
    """
    1 MiB of `&` would hold the event loop for half a second, and with it every other caller.
    """
    started_at = time.perf_counter()
    for flood in (b"&" * 1_000_000, b"apiKey=x&" * 100_000):
        with pytest.raises(CallerError) as caught:
            strip_credentials(flood)
        assert Reason.PARAMETER_MALFORMED is caught.value.reason

    assert time.perf_counter() - started_at < 0.2
    assert b"" == strip_credentials(b"&".join([b"apiKey=x"] * 1024))


def test_query_and_form_are_one_list() -> None:
    """
    The query's parameters first, each in the order in which they stand, decoded once.
    """
    expected = [("extenOrUniqueId", "SIP/410,411"), ("tag", " a b"), ("agentLoginName", "j%6Fe")]

    assert expected == read(b"extenOrUniqueId=SIP%2F410,411&tag=+a%20b", b"agentLoginName=j%256Fe")


def test_a_parameter_without_a_value_has_an_empty_one() -> None:
    """
    With or without its equals sign; empty items are none.
    """
    assert [("tag", ""), ("exten", "")] == read(b"&&tag&exten=&")


@pytest.mark.parametrize(
    ("query", "form", "why"),
    [
        (b"=410", b"", "an empty name"),
        (b"=", b"", "an empty name without a value"),
        (b"a" * 65 + b"=1", b"", "a name over 64 bytes"),
        (b"%C3%A9" * 33 + b"=1", b"", "a name over 64 bytes when decoded"),
        (b"tag=%", b"", "a broken escape at the end"),
        (b"tag=%4", b"", "half an escape"),
        (b"tag=%zz", b"", "no hexadecimal digits"),
        (b"tag=%u0041", b"", "an escape of another kind"),
        (b"%u0061piKey=x", b"", "the same in a name that would be a credential's"),
        (b"ta%g=1", b"", "a broken escape in a name"),
        (b"tag=%ff", b"", "no UTF-8"),
        (b"tag=%C1%A1", b"", "an overlong encoding"),
        (b"tag=%ED%A0%80", b"", "a surrogate"),
        (b"ta%E9=1", b"", "no UTF-8 in a name"),
        (b"tag=%00", b"", "NUL"),
        (b"tag=%0D%0A", b"", "a line end"),
        (b"tag=a%7F", b"", "DEL"),
        (b"tag=%C2%85", b"", "NEXT LINE, a control character of Unicode"),
        (b"t%09ag=1", b"", "a tab in a name"),
        (b"", b"tag=a\n", "a raw line end in a form"),
        (b"", b"tag=\xe9", "raw ISO-8859-1 in a form"),
        (b"", b"a=1;extenOrUniqueId=500", "a raw semicolon in a form, where some readers cut"),
        (b"ExtenOrUniqueId=410", b"", "a name in another case"),
        (b"extenoruniqueid=410", b"", "in lower case"),
        (b"", b"AGENTLOGINNAME=x", "in a form"),
        (b"agentLog%C4%B1nName=x&EXTENORUNIQUEID=1", b"", "with another that is no case variant"),
        (b"extenOrUni%C5%BFqueId=1&Agent%4cOGINNAME=1", b"", "escaped"),
    ],
)
def test_what_cannot_be_read_in_one_way_is_malformed(query: bytes, form: bytes, why: str) -> None:
    """
    400 `parameter_malformed`, for a name as for a value, in the query as in a form.
    """
    assert Reason.PARAMETER_MALFORMED is refusal(query, form), why


def test_an_escaped_semicolon_is_data() -> None:
    """
    `%3B` is what a value may hold (contract section 3).
    """
    assert [("tag", "a;b")] == read(b"", b"tag=a%3Bb")


def test_sixty_four_parameters_are_the_most() -> None:
    """
    Counted over query and form together.
    """
    query = b"&".join(b"a%d=" % number for number in range(40))
    form = b"&".join(b"b%d=" % number for number in range(24))

    assert 64 == len(read(query, form))
    assert Reason.PARAMETER_MALFORMED is refusal(query, form + b"&c=")
    assert [("a" * 64, "1")] == read(b"a" * 64 + b"=1")


@pytest.mark.parametrize(
    ("query", "form"),
    [
        (b"tag=1&tag=1", b""),
        (b"tag=1&t%61g=2", b""),
        (b"", b"tag=1&tag"),
        (b"tag=1", b"tag=1"),
        (b"unheardOf=1", b"unheardOf=2"),
    ],
)
def test_a_name_that_stands_twice_is_refused(query: bytes, form: bytes) -> None:
    """
    In one place or across both, with the same value or another, known or not.
    """
    assert Reason.PARAMETER_REPEATED is refusal(query, form)


@pytest.mark.parametrize(
    "query", [b"tag=1&tag=%ff", b"tag=1&tag=2&ExtenOrUniqueId=3", b"tag=1&tag=2&" + b"&".join([b"x=1"] * 64)]
)
def test_malformed_is_told_before_repeated(query: bytes) -> None:
    """
    The order of contract section 3.
    """
    assert Reason.PARAMETER_MALFORMED is refusal(query)


@pytest.mark.parametrize(
    ("value", "expected"), [(b"0", 0), (b"30", 30), (b"99999", 99999), (b"007", 7), (b"%33%30", 30)]
)
def test_a_poll_waits_as_long_as_it_asks_for(value: bytes, expected: int) -> None:
    """
    One to five ASCII digits.
    """
    subscribe = operation("CallManagementAPI/subscribe")

    assert expected == parse_poll_seconds(parse_parameters(subscribe, b"exten=1&timeOut=" + value, b""))


def test_a_poll_that_does_not_say_how_long_waits_ten_seconds() -> None:
    """
    The vendor's default.
    """
    assert 10 == parse_poll_seconds(())
    assert 10 == parse_poll_seconds((Parameter("exten", "410"),))


@pytest.mark.parametrize(
    "value", [b"", b"-1", b"+5", b"1.5", b"100000", b"1e3", b"%EF%BC%94", b"%D9%A3", b"5s", b"0x1"]
)
def test_a_time_out_that_is_no_number_is_malformed(value: bytes) -> None:
    """
    Digits of other scripts too, which `int` would read.
    """
    for name in ("CallManagementAPI/subscribe", "CallManagementAPI/checkState"):
        assert Reason.PARAMETER_MALFORMED is refusal(b"timeOut=" + value, name=name)
        assert Reason.PARAMETER_MALFORMED is refusal(b"timeOut=5&timeOut=" + value, name=name)


def test_a_time_out_is_read_on_polls_alone() -> None:
    """
    Elsewhere it is a parameter like any other that the catalogue does not know.
    """
    assert [("timeOut", "soon")] == read(b"timeOut=soon")


def test_a_parameter_has_no_printable_form() -> None:
    """
    A value may be personal data, and so may what somebody puts in a name.
    """
    assert "<Parameter>" == repr(Parameter("number", "0412345678")) == str(Parameter("x", "y"))


def test_a_refusal_says_nothing_of_what_was_sent() -> None:
    """
    Neither the value nor an unknown name is in the error.
    """
    with pytest.raises(CallerError) as caught:
        parse_parameters(operation(), b"secretName=secretValue%ff", b"")

    assert "secret" not in f"{caught.value!r} {caught.value} {caught.value.detail}"


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)


@quick
@given(st.dictionaries(texts.filter(lambda name: 0 < len(name.encode()) <= 64), texts, max_size=8))
def test_what_is_encoded_is_read_back(expected: dict[str, str]) -> None:
    """
    Parse is the inverse of percent-encoding, for names that are neither credentials nor case variants of known ones.
    """
    known = {name.casefold() for name in operation().parameters}
    safe = {name: value for name, value in expected.items() if name.casefold() not in known}
    query = b"&".join(
        f"{quote_from_bytes(name.encode(), safe='')}={quote_from_bytes(value.encode(), safe='')}".encode()
        for name, value in safe.items()
    )

    assert list(safe.items()) == read(query)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["CallManagementAPI/stop", "CallManagementAPI/subscribe", "CampaignAPI/insertLead"]),
    st.one_of(st.binary(max_size=60), st.lists(st.one_of(items, spellings(), innocent), max_size=8).map(b"&".join)),
    st.binary(max_size=60),
)
def test_reading_is_total(name: str, query: bytes, form: bytes) -> None:
    """
    Whatever the bytes: parameters, or a `CallerError` of the two reasons. Names are unique and never credentials.
    """
    names: list[str] = []
    reason = None
    try:
        names = [each for each, _ in read(strip_credentials(query), strip_credentials(form), name)]
    except CallerError as error:
        reason = error.reason

    assert reason in {None, Reason.PARAMETER_MALFORMED, Reason.PARAMETER_REPEATED}
    assert len(names) == len(set(names)) <= 64
    assert "" not in names
