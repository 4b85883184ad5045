"""
What we read of a server's certificate by ourselves: its public key, for pins, and until when it is good.

`ssl` verifies, and shows neither the key nor, of a certificate that it did not verify, the dates. Only as much DER is
read here as leads to them (RFC 5280 section 4.1); nothing is decided on it but whether a key is the pinned one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from gateway.access.pin import render_pin

__all__ = ["CertificateError", "Validity", "find_pin", "find_validity"]

_SEQUENCE = 0x30
_VERSION = 0xA0
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_LONG_FORM = 0x80
_MOST_LENGTH_BYTES = 3


class CertificateError(ValueError):
    """
    It is no certificate that we can read.
    """


class Validity(NamedTuple):
    """
    From when until when a certificate is good, aware UTC instants.
    """

    begins_at: datetime
    ends_at: datetime


class _Element(NamedTuple):
    tag: int
    start: int  # of the element itself, its tag and length included
    content: int
    end: int


def find_pin(certificate: bytes) -> str:
    """
    The pin of the certificate's key.

    Args:
        certificate: DER.

    Raises:
        CertificateError: It cannot be read.
    """
    key = _find_fields(certificate)[5]
    return render_pin(certificate[key.start : key.end])


def find_validity(certificate: bytes) -> Validity:
    """
    The dates of a certificate, DER.

    Raises:
        CertificateError: It cannot be read.
    """
    dates = _find_fields(certificate)[3]
    begin = _read(certificate, dates.content)
    end = _read(certificate, begin.end)
    return Validity(_parse_time(certificate, begin), _parse_time(certificate, end))


def _find_fields(certificate: bytes) -> list[_Element]:
    """
    Of the signed part: serial number, algorithm, issuer, validity, subject and subjectPublicKeyInfo.

    The version that may stand before them is passed over.
    """
    whole = _read(certificate, 0)
    signed = _read(certificate, whole.content)
    if whole.tag != _SEQUENCE or signed.tag != _SEQUENCE:
        raise CertificateError("this is no certificate")
    fields: list[_Element] = []
    at = signed.content
    while at < signed.end and len(fields) < 6:  # noqa: PLR2004 - the six above
        element = _read(certificate, at)
        if fields or element.tag != _VERSION:
            fields.append(element)
        at = element.end
    if len(fields) < 6 or any(fields[index].tag != _SEQUENCE for index in (1, 2, 3, 4, 5)):  # noqa: PLR2004 - the same
        raise CertificateError("this is no certificate")
    return fields


def _read(data: bytes, at: int) -> _Element:
    try:
        tag, length, content = data[at], data[at + 1], at + 2
        if length & _LONG_FORM:
            count = length & ~_LONG_FORM
            if not 1 <= count <= _MOST_LENGTH_BYTES:
                raise CertificateError("this is no certificate")
            length = int.from_bytes(data[content : content + count], "big")
            content += count
    except IndexError:
        raise CertificateError("this is no whole certificate") from None
    if content + length > len(data):
        raise CertificateError("this is no whole certificate")
    return _Element(tag, at, content, content + length)


def _parse_time(data: bytes, element: _Element) -> datetime:
    forms = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}
    try:
        text = data[element.content : element.end].decode("ascii")
        # Of a year of two digits those from 50 on are of the last century (RFC 5280 section 4.1.2.5.1), as Python's are
        # from 69 on: nobody has certificates from between.
        return datetime.strptime(text, forms[element.tag]).replace(tzinfo=UTC)
    except (KeyError, ValueError):
        raise CertificateError("the certificate's dates cannot be read") from None
