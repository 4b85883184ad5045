"""
What the journal may say of parameters and bodies: few values as text, the rest as HMACs under the caller's own key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.redaction import Redactor
from gateway.noojee.catalogue import Operation, load_catalogue
from gateway.noojee.numbers import canonical_number
from gateway.noojee.parameters import Parameter

quick = settings(max_examples=100, deadline=None)

TOKEN = "njg_Q9ivCj7ovbFG_fhN8q6cMJbTd5Mw3tqlJrgH0oO5PUvvv_17EIxL"
HELD = frozenset({"an-odd-key-of-noojee"})
UUID = "6b2970d2-13f0-493a-8814-b6fe4726bbce"


def key_for(caller_name: str) -> bytes:
    """
    A key of each caller's own.
    """
    return hashlib.sha256(caller_name.encode()).digest()


def mark(value: str | bytes, caller_name: str = "crm") -> dict[str, str]:
    """
    The HMAC-SHA-256 of a value as it must stand in the journal.
    """
    raw = value.encode() if isinstance(value, str) else value
    return {"hmac": hmac.new(key_for(caller_name), raw, "sha256").hexdigest(), "key_id": "3"}


def operation(name: str) -> Operation:
    """
    An operation of the catalogue.
    """
    found = load_catalogue().find_by_name(name)
    assert found is not None
    return found


def render(name: str, *parameters: tuple[str, str], caller_name: str = "crm") -> dict[str, object]:
    """
    The redacted form of these parameters.
    """
    redactor = Redactor(key_id="3", key_for_caller=key_for, number_country="61", is_held_key=HELD.__contains__)
    return redactor.render_parameters(operation(name), [Parameter(*each) for each in parameters], caller_name)


def test_a_key_that_we_hold_never_stands_as_text_whatever_its_form() -> None:
    """
    A key that is no UUID is known by its fingerprint alone.
    """
    rendered = render("CampaignAPI/getCampaignList", ("fTemplateId", "an-odd-key-of-noojee"))

    assert {"fTemplateId": mark("an-odd-key-of-noojee")} == rendered


@pytest.mark.parametrize("name", ["exten", "extenOrUniqueId"])
@pytest.mark.parametrize(
    ("value", "is_text", "why"),
    [
        ("410", True, "the auditor must read it"),
        ("SIP/410", True, "with its technology"),
        ("PJSIP/123456,7,SIP/8", True, "a list"),
        ("1234567", False, "seven digits are a telephone number"),
        ("410,0412345678", False, "one item of a list is one"),
        ("", False, "no extension"),
        ("410,", False, "an empty item"),
        ("sip/410", False, "in another case"),
        ("SIP/", False, "without digits"),
        ("IAX/410", False, "another technology"),
        ("1700000000.42", False, "a unique id"),
        ("410\n", False, "more than an extension"),
        ("４１０", False, "digits of another script"),  # noqa: RUF001 - meant
        (" 410", False, "a space"),
        (",".join(["123456"] * 40), False, "over 256 bytes"),
    ],
)
def test_extensions_stand_as_text(name: str, value: str, *, is_text: bool, why: str) -> None:
    """
    When every item of the list is one, although the catalogue calls the parameter sensitive (contract section 7).
    """
    where = "CallManagementAPI/subscribe" if name == "exten" else "CallManagementAPI/dial"

    assert {name: {"text": value} if is_text else mark(value)} == render(where, (name, value)), why


@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        f"x {TOKEN} y",
        TOKEN[:20],
        TOKEN.upper(),
        TOKEN.replace("_", "%5F"),
        "".join(f"%{byte:02x}" for byte in TOKEN.encode()),
        TOKEN.encode().hex(),
        base64.b64encode(TOKEN.encode()).decode(),
        base64.urlsafe_b64encode(b"xx" + TOKEN.encode()).decode().rstrip("="),
        "njg_a",
        "njg-a",
        UUID,
        f"key={UUID}.",
        UUID.upper(),
        UUID.replace("-", ""),
        UUID.replace("-", "_"),
        UUID.replace("-", " "),
        UUID.replace("-", "\u2010"),
        f"{{{UUID}}}",
        UUID.encode().hex(),
        base64.b64encode(UUID.encode()).decode(),
        ":".join(UUID.replace("-", "")[place : place + 2] for place in range(0, 32, 2)),
        hashlib.sha256(b"key:1700000000000").hexdigest(),
    ],
)
def test_what_may_hold_a_secret_never_stands_as_text(value: str) -> None:
    """
    A token or a UUID, whole, cut or in another form, anywhere in a value that is not sensitive otherwise (law 3).
    """
    assert {"autoAnswer": mark(value)} == render("CallManagementAPI/dial", ("autoAnswer", value))


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("CallManagementAPI/dial", "autoAnswer", "Call-Info: <sip:x>;answer-after=0"),
        ("CallManagementAPI/dial", "monitored", "yes"),
        ("CallManagementAPI/dial", "record", ""),
        ("CallManagementAPI/subscribe", "lastSequenceNumber", "1700000000000"),
        ("CampaignAPI/getCampaignList", "fTemplateId", "12"),
        ("RecordingAPI/retrieveMetaDataByHour", "date", "2026/11/24"),
        ("CampaignAPI/insertLead", "allowDuplicates", "é" * 100),
        ("CampaignAPI/insertLead", "fCampaignId", "1,22,333,4444,55555,666666"),
    ],
)
def test_what_is_not_sensitive_stands_as_text(name: str, parameter: str, value: str) -> None:
    """
    The auditor reads it.
    """
    assert {parameter: {"text": value}} == render(name, (parameter, value))


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("CallManagementAPI/dial", "number", "410"),
        ("CallManagementAPI/dial", "callerId", "0398765432"),
        ("CallManagementAPI/start", "tag", "vip"),
        ("CallManagementAPI/start", "agentLoginName", "alice"),
        ("CallManagementAPI/answer", "uniqueId", "1700000000.42"),
        ("rosterApi/getActiveRosters", "teamName", "sales"),
        ("CampaignAPI/updateLead", "njExternalLeadId", "7"),
        ("CampaignAPI/insertLead", "allowDuplicates", "x y " * 65),
        ("CampaignAPI/insertLead", "allowDuplicates", "é " * 86),
    ],
)
def test_what_is_sensitive_or_long_stands_as_an_hmac(name: str, parameter: str, value: str) -> None:
    """
    Under the caller's own key, with the key's version beside it.
    """
    assert {parameter: mark(value)} == render(name, (parameter, value))


def test_strangers_stand_together_without_their_names() -> None:
    """
    A name that the catalogue does not know may be anything, even a token; its value is an HMAC, whatever it is.
    """
    got = render("CallManagementAPI/stop", (TOKEN, "1"), ("extenOrUniqueId", "410"), ("number", "+61412345678"))

    assert {"extenOrUniqueId": {"text": "410"}, "?": [mark("1"), mark("+61412345678")]} == got


def test_a_parameter_called_question_mark_is_a_stranger_like_others() -> None:
    """
    It does not write into the strangers' place.
    """
    assert {"?": [mark("x"), mark("y")]} == render("CallManagementAPI/stop", ("?", "x"), ("??", "y"))


def test_telephone_numbers_are_marked_in_one_form() -> None:
    """
    However the country's code was written, the auditor finds the number by its HMAC.
    """
    rendered = [render("CallManagementAPI/dial", ("number", each)) for each in ("+61412345678", " 61412345678")]

    assert [{"number": mark("0412345678")}] * 2 == rendered
    assert {"number": mark("61412345678")} == render("CallManagementAPI/dial", ("number", "61412345678"))


def test_two_callers_mark_one_value_in_two_ways() -> None:
    """
    So that nobody fills a dictionary of another's numbers through a caller of his own.
    """
    mine, others = (render("CallManagementAPI/dial", ("number", "1"), caller_name=name) for name in ("crm", "erp"))

    assert mine != others
    assert {"number": mark("1", "erp")} == others


def test_a_body_is_marked_whole() -> None:
    """
    Hexadecimal, under the caller's key.
    """
    redactor = Redactor(key_id="3", key_for_caller=key_for, number_country="61", is_held_key=HELD.__contains__)

    assert mark(b"\xff{}")["hmac"] == redactor.mark_body(b"\xff{}", "crm")


@quick
@given(
    st.sampled_from([each.name for each in load_catalogue().operations if each.parameters]),
    st.data(),
)
def test_only_what_may_be_seen_is_text(name: str, data: st.DataObject) -> None:
    """
    Text stands only under the catalogue's names, and never a sensitive value that is no extension.

    Over every operation and any values. A call with all the parameters it may have fits into a line of the journal.
    """
    known = sorted(operation(name).parameters)
    values = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=300)
    parameters = {each: data.draw(values) for each in known}
    got = render(name, *parameters.items(), *((f"x{number}", "y") for number in range(64 - len(known))))

    assert {*known, "?"} == got.keys()
    for each in known:
        if got[each] == {"text": parameters[each]}:
            assert each not in operation(name).sensitive or each in {"exten", "extenOrUniqueId"}
            assert len(parameters[each].encode()) <= 256
        else:
            assert got[each] in (mark(parameters[each]), mark(canonical_number(parameters[each], "61")))
    assert len(json.dumps(got, ensure_ascii=False).encode()) < 14 * 1024


@pytest.mark.parametrize(
    ("value", "country", "expected"),
    [
        ("+61412345678", "61", "0412345678"),
        (" 61412345678", "61", "0412345678"),
        ("0412345678", "61", "0412345678"),
        ("61412345678", "61", "61412345678"),
        ("0061412345678", "61", "0061412345678"),
        ("++61412345678", "61", "++61412345678"),
        ("  61412345678", "61", "  61412345678"),
        ("+61 412 345 678", "61", "0 412 345 678"),
        ("+6141", "64", "+6141"),
        ("+6421", "64", "021"),
        ("+61", "61", "0"),
        ("0412345678;ext=0900", "61", "0412345678;ext=0900"),
        ("", "61", ""),
    ],
)
def test_a_number_has_one_canonical_form(value: str, country: str, expected: str) -> None:
    """
    Only the leading country code changes; nothing is cleaned, because nobody cleans what is dialled.
    """
    assert expected == canonical_number(value, country)


@quick
@given(st.text("+ 0614", max_size=10), st.sampled_from(["61", "1", "4", "06"]))
def test_the_canonical_form_is_its_own(value: str, country: str) -> None:
    """
    Idempotent, so that a rule's value and a call's meet whether they were made canonical before or not.
    """
    once = canonical_number(value, country)

    assert once == canonical_number(once, country)
