"""
A second opinion on rules: what a grant's rules say of the raw bytes of a call, written as naively as it can be.

Imports nothing of the gateway and shares nothing with it: bytes are decoded one by one, ranges are written out number
by number, lists are cut by hand. It is slow, and so plain that it can be read against contract section 3.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

__all__ = ["Grant", "judge"]

DIGITS = "0123456789"
HEX = "0123456789abcdefABCDEF"


@dataclass(frozen=True)
class Grant:
    """
    The rules as an operator wrote them.
    """

    rules: tuple[tuple[str, str], ...]
    allow_unique_ids: bool = False


def judge(grant: Grant, known: frozenset[str], query: bytes, form: bytes, country: str, *, is_poll: bool) -> str:
    """
    What becomes of a call whose query and form go up as these bytes.

    Args:
        known: The operation's parameters.
        is_poll: Whether the operation is a long poll, whose `timeOut` must be a number.

    Returns:
        `malformed`, `repeated`, `refused` or `allowed`.
    """
    pairs = read(query) + read(form)
    if len(pairs) > 64 or None in pairs:
        return "malformed"
    told = [pair for pair in pairs if pair is not None]
    for name, value in told:
        for one in known:
            if name != one and name.casefold() == one.casefold():
                return "malformed"
        if is_poll and name == "timeOut" and not (1 <= len(value) <= 5 and only(DIGITS, value)):
            return "malformed"
    for place, (name, _) in enumerate(told):
        for other, _ in told[:place]:
            if name == other:
                return "repeated"
    return "allowed" if passes(grant, known, dict(told), country) else "refused"


def passes(grant: Grant, known: frozenset[str], told: dict[str, str], country: str) -> bool:
    """
    Whether every rule is content.
    """
    if not grant.rules:
        return True
    ruled = dict(grant.rules)
    for name, text in ruled.items():
        for parameter in ["exten", "extenOrUniqueId"] if name == "extension" else [name]:
            if parameter in known and not (
                parameter in told and value_passes(name, parameter, text, told[parameter], grant, country)
            ):
                return False
    if any(parameter not in known for parameter in told):
        return False
    if "extension" not in ruled:
        return True
    if any(parameter in told and parameter not in ruled for parameter in ("agentLoginName", "callerId")):
        return False
    return "uniqueId" not in told or (grant.allow_unique_ids and is_unique_id(told["uniqueId"]))


def value_passes(name: str, parameter: str, text: str, value: str, grant: Grant, country: str) -> bool:
    """
    Whether one value is what the rule of its name lists.
    """
    if name == "extension":
        return all(
            grant.allow_unique_ids if is_unique_id(item) else extension_passes(text, item) for item in cut(value, ",")
        )
    if parameter in ("number", "callerId"):
        return number_passes(text, value, country)
    return listed(text, value)


def extension_passes(text: str, item: str) -> bool:
    """
    One item of a list is an extension of the rule, with its technology or without.
    """
    number = item
    for technology in ("PJSIP/", "SIP/"):
        if item[: len(technology)] == technology:
            number = item[len(technology) :]
            break
    return 1 <= len(number) <= 10 and only(DIGITS, number) and listed(text, number)


def number_passes(text: str, value: str, country: str) -> bool:
    """
    One telephone number, by its canonical form.
    """
    bare = value[1:] if value[:1] in ("+", " ") else value
    if not 3 <= len(bare) <= 16 or not only(DIGITS, bare):
        return False
    items = []
    for item in cut(text, ","):
        if item[-1] == "*" and item[:-1] == ("+" + country)[: len(item) - 1]:
            continue  # it ends in the country code, and would become 0*
        items.append(canonical(item, country))
    return bool(items) and listed(",".join(items), canonical(value, country))


def canonical(text: str, country: str) -> str:
    """
    A leading +61 or space 61 is a 0.
    """
    if text[:1] in ("+", " ") and text[1 : 1 + len(country)] == country:
        return "0" + text[1 + len(country) :]
    return text


def listed(text: str, value: str) -> bool:
    """
    Whether a rule's text lists a value.
    """
    for item in cut(text, ","):
        if item[-1] == "*":
            if value[: len(item) - 1] == item[:-1]:
                return True
        elif "-" in item and only(DIGITS + "-", item) and item.count("-") == 1 and item[0] != "-" and item[-1] != "-":
            first, last = cut(item, "-")
            for number in range(int(first), int(last) + 1):
                written = str(number)
                while len(written) < len(first):
                    written = "0" + written
                if value == written:
                    return True
        elif value == item:
            return True
    return False


def is_unique_id(text: str) -> bool:
    """
    Digits, a dot, digits.
    """
    parts = cut(text, ".")
    return len(parts) == 2 and all(part != "" and only(DIGITS, part) for part in parts)


def only(alphabet: str, text: str) -> bool:
    """
    Whether a text has no other characters.
    """
    return all(character in alphabet for character in text)


def cut(text: str, separator: str) -> list[str]:
    """
    The pieces between separators, empty ones too.
    """
    pieces = [""]
    for character in text:
        if character == separator:
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces


def read(raw: bytes) -> list[tuple[str, str] | None]:
    """
    Name and value of each item; None for one that cannot be read in one way.
    """
    items = [b""]
    for byte in raw:
        if byte == ord("&"):
            items.append(b"")
        else:
            items[-1] += bytes([byte])
    return [read_item(item) for item in items if item != b""]


def read_item(item: bytes) -> tuple[str, str] | None:
    """
    One item.
    """
    if ord(";") in item:
        return None
    place = item.find(b"=")
    name = decode(item if place < 0 else item[:place])
    value = decode(b"" if place < 0 else item[place + 1 :])
    if name is None or value is None or not 1 <= len(name.encode()) <= 64:
        return None
    return name, value


def decode(raw: bytes) -> str | None:
    """
    One pass over the bytes: `+` is a space, `%` and two digits are a byte, the rest is itself.
    """
    decoded = []
    place = 0
    while place < len(raw):
        byte = raw[place]
        if byte == ord("%"):
            digits = raw[place + 1 : place + 3].decode("latin-1")
            if len(digits) != 2 or not only(HEX, digits):
                return None
            decoded.append(int(digits, 16))
            place += 3
        else:
            decoded.append(ord(" ") if byte == ord("+") else byte)
            place += 1
    try:
        text = bytes(decoded).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if any(unicodedata.category(character) == "Cc" for character in text) else text
