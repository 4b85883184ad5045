"""
Which bodies go up, and in which form.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.data_plane.content import Content, read_content
from gateway.data_plane.headers import Headers
from gateway.errors import CallerError, Reason
from gateway.noojee.catalogue import Operation, load_catalogue

STOP = "CallManagementAPI/stop"
LEAD = "CampaignAPI/insertLeadFast"

FORM = b"application/x-www-form-urlencoded"
FORM_UP = b"application/x-www-form-urlencoded; charset=UTF-8"
JSON = b"application/json"


def operation(name: str) -> Operation:
    """
    An operation of the catalogue.
    """
    found = load_catalogue().find_by_name(name)
    assert found is not None
    return found


def read(content_type: bytes | None, body: bytes, name: str = LEAD, *more: tuple[bytes, bytes]) -> Content:
    """
    The body of a call with this Content-Type.
    """
    headers = [] if content_type is None else [(b"content-type", content_type)]
    return read_content(operation(name), Headers([(b"host", b"x"), *headers, *more]), body)


def refusal(content_type: bytes | None, body: bytes, name: str = LEAD, *more: tuple[bytes, bytes]) -> Reason:
    """
    The reason for which such a body is refused.
    """
    with pytest.raises(CallerError) as caught:
        read(content_type, body, name, *more)
    return caught.value.reason


@pytest.mark.parametrize(
    "content_type",
    [
        FORM,
        FORM.upper(),
        FORM + b";charset=utf-8",
        FORM + b" ; Charset=UTF-8",
        FORM + b'; charset="utf-8"',
        FORM + b"; charset=utf8",
        FORM + b"; foo=bar; charset=utf-8",
        FORM + b";",
        FORM + b"; ;charset=utf-8;",
        b" " + FORM + b"\t",
    ],
)
@pytest.mark.parametrize("name", [STOP, LEAD])
def test_a_form_in_utf_8_goes_up_everywhere(content_type: bytes, name: str) -> None:
    """
    In our own spelling, which names the charset that we read it in.
    """
    content = read(content_type, b"tag=a&exten=410", name)

    assert (b"tag=a&exten=410", b"tag=a&exten=410", FORM_UP) == (content.body, content.form, content.content_type)


@pytest.mark.parametrize("content_type", [JSON, JSON + b"; charset=UTF-8", b"Application/JSON"])
def test_json_goes_up_unchanged_where_the_catalogue_has_a_body(content_type: bytes) -> None:
    """
    Byte for byte, valid or not, and nothing of it is read as parameters: apiKey in it is Noojee's business.
    """
    body = b'{"apiKey": 1}, {"njPriority":\xff &apiKey=x&'
    content = read(content_type, body)

    assert (body, b"", JSON) == (content.body, content.form, content.content_type)
    assert Reason.BODY_NOT_SUPPORTED is refusal(content_type, body, STOP)


def test_a_form_goes_up_without_its_credentials() -> None:
    """
    In every spelling, the other bytes as they were (law 4).
    """
    content = read(FORM, b"&apiKey=x&a=%zz&API%5FKEY=y&hash&b=+&timestamp=1&")

    assert b"&a=%zz&b=+&" == content.body == content.form


def test_a_form_of_credentials_alone_becomes_an_empty_body() -> None:
    """
    Nothing is left to read.
    """
    content = read(FORM, b"apiKey=x", STOP)

    assert (b"", b"", FORM_UP) == (content.body, content.form, content.content_type)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (None, None),
        (b"text/plain", None),
        (b"multipart/form-data; boundary=x", None),
        (FORM + b"; charset=ibm037", None),
        (b"nonsense", None),
        (FORM, FORM_UP),
        (JSON, JSON),
    ],
)
def test_an_empty_body_may_have_any_type(content_type: bytes | None, expected: bytes | None) -> None:
    """
    What we do not spell ourselves does not go up.
    """
    content = read(content_type, b"", STOP, (b"content-encoding", b"gzip"))

    assert (b"", b"", expected) == (content.body, content.form, content.content_type)


@pytest.mark.parametrize(
    ("content_type", "why"),
    [
        (None, "no type"),
        (b"", "an empty type"),
        (b"text/plain", "another type"),
        (b"application/xml", "another type"),
        (b"multipart/form-data; boundary=x", "multipart"),
        (FORM + b"; charset=ibm037", "EBCDIC: other bytes would be `&` and `=`"),
        (FORM + b"; charset=utf-16", "two bytes a letter"),
        (FORM + b"; charset=utf-7", "another escape"),
        (FORM + b"; charset=iso-8859-1", "another reading of every accent"),
        (FORM + b"; charset=", "an empty charset"),
        (FORM + b'; charset=""', "an empty charset"),
        (FORM + b"; charset", "no charset"),
        (FORM + b"; charset=utf-8; charset=ibm037", "two charsets"),
        (FORM + b"; charset=ibm037; charset=utf-8", "in either order"),
        (FORM + b"; charset=utf-8; charset=utf-8", "even twice the same"),
        (FORM + b"; charset='utf-8'", "a quote of another kind"),
        (FORM + b"; charset*=utf-8''ibm037", "an extended parameter"),
        (FORM + b'; x="; charset=utf-8', "half a quote"),
        (FORM + b'; x="\\"; charset=ibm037; y="', "an escaped quote"),
        (FORM + b", application/json", "a list"),
        (FORM + b" charset=ibm037", "no semicolon"),
        (FORM + b"; char set=utf-8", "a space in a name"),
        (FORM + b"\x00", "a control character"),
        (b"application/x-www-form-urlencode\xe4", "a byte beyond ASCII"),
        (b"application/jso\xc5\x84", "a letter that looks like one"),
        (b"application/json+x", "a suffix"),
        (b"*/*", "a wildcard"),
    ],
)
def test_every_other_type_is_refused(content_type: bytes | None, why: str) -> None:
    """
    415 `body_not_supported`: a servlet would read other parameters than we decided on (law 9).
    """
    assert Reason.BODY_NOT_SUPPORTED is refusal(content_type, b"tag=a"), why


@pytest.mark.parametrize("coding", [b"gzip", b"identity", b""])
def test_a_coded_body_is_refused(coding: bytes) -> None:
    """
    Any Content-Encoding: what is checked would not be what is read.
    """
    assert Reason.BODY_NOT_SUPPORTED is refusal(FORM, b"tag=a", STOP, (b"content-encoding", coding))


@pytest.mark.parametrize("second", [FORM, JSON])
def test_two_types_are_refused(second: bytes) -> None:
    """
    Even the same one twice: two readers may take different ones.
    """
    assert Reason.BODY_NOT_SUPPORTED is refusal(FORM, b"tag=a", LEAD, (b"content-type", second))


def test_a_flood_in_a_form_is_refused_before_it_is_read() -> None:
    """
    400, because it is a form that we do take.
    """
    assert Reason.PARAMETER_MALFORMED is refusal(FORM, b"&" * 1_000_000, STOP)


def test_content_has_no_printable_form() -> None:
    """
    A lead is personal data.
    """
    assert "<Content of 15 bytes>" == repr(read(JSON, b'{"name":"Alice}'))


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=30), st.text(';="\\ \tcharset=utf-8', max_size=30).map(lambda text: FORM + text.encode())
    ),
    st.binary(max_size=40),
)
def test_reading_a_body_is_total(content_type: bytes, body: bytes) -> None:
    """
    A body in our own spelling, or a refusal; what is no form or JSON by its type never goes up.
    """
    content, reason = None, None
    try:
        content = read(content_type, body)
    except CallerError as error:
        reason = error.reason

    assert reason in {None, Reason.BODY_NOT_SUPPORTED, Reason.PARAMETER_MALFORMED}
    assert content is None or content.content_type in ({FORM_UP, JSON} if body else {FORM_UP, JSON, None})
