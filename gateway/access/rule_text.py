"""
How a rule is written: numbers, ranges, prefixes `04*` and exact texts, with commas between them (contract section 3).

Knows which values an item allows, and refuses with a sentence what could never allow one or would allow more than its
operator meant. What is pasted by mistake is not repeated, because it may be a key (law 3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.noojee.catalogue import PHONE_PARAMETERS
from gateway.noojee.numbers import canonical_number

__all__ = ["EXTENSION", "Exact", "Item", "Prefix", "Range", "parse_items"]

EXTENSION = "extension"
"""The name under which the parameters that hold extensions are ruled together."""

_SPEAKABLE = re.compile(r"[0-9*+-]{1,40}", re.ASCII)
"""What may be repeated in an error: nothing that a pasted key or token could be."""

_SECRET_SHAPE = re.compile(r"njg_|(?:[0-9a-f]-?){32}|[0-9a-z+/=_-]{32}", re.ASCII | re.IGNORECASE)
"""A token, a UUID, a hash, or what could be one of them in another form."""

_RANGE = re.compile(r"([0-9]+)-([0-9]+)", re.ASCII)
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_EXTENSION_TEXT = re.compile(r"[0-9]{1,10}", re.ASCII)
_PHONE_TEXT = re.compile(r"\+?[0-9]{3,16}", re.ASCII)
_PHONE_PREFIX = re.compile(r"\+?[0-9]{0,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Exact:
    """
    One text.
    """

    text: str

    def allows(self, value: str) -> bool:
        """
        Whether the value is this text, character by character: `0410` is not `410`.
        """
        return value == self.text

    def canonical(self, country: str) -> Exact | None:
        """
        The same as a telephone number.
        """
        return Exact(canonical_number(self.text, country))


@dataclass(frozen=True, slots=True)
class Prefix:
    """
    How a text begins; at least one character.
    """

    text: str

    def allows(self, value: str) -> bool:
        """
        Whether the value begins so.
        """
        return value.startswith(self.text)

    def canonical(self, country: str) -> Prefix | None:
        """
        The same for telephone numbers; None, which allows nothing, where it ends before or with the country code.

        `+61*` would become `0*`, and that covers `0011...`, every number abroad.
        """
        if f"+{country}".startswith(self.text):
            return None
        return Prefix(canonical_number(self.text, country))


@dataclass(frozen=True, slots=True)
class Range:
    """
    From one run of ASCII digits to another of equal length, both included.
    """

    first: str
    last: str

    def allows(self, value: str) -> bool:
        """
        Whether the value is as many digits, and not outside: at equal length the order of texts is that of numbers.
        """
        return (
            len(value) == len(self.first) and _DIGITS.fullmatch(value) is not None and self.first <= value <= self.last
        )

    def canonical(self, country: str) -> Range | None:
        """
        Itself: bare digits are their own canonical form.
        """
        del country
        return self


Item = Exact | Prefix | Range


def parse_items(parameter: str, text: str) -> tuple[Item, ...]:
    """
    What a rule's text lists.

    Args:
        parameter: What it is on; extensions and telephone numbers have a form of their own.

    Raises:
        ValueError: With a sentence that says how to write it.
    """
    if not text.isprintable():
        raise ValueError(f"The rule on {parameter} holds a character that cannot be printed.")
    return tuple(_parse_item(parameter, item) for item in text.split(","))


def _parse_item(parameter: str, item: str) -> Item:
    if not item:
        raise ValueError(f"The rule on {parameter} has an empty item. Write items with one comma between them.")
    if item != item.strip():
        raise ValueError(
            f"The rule on {parameter} has a space around an item. Items are compared exactly: leave it out."
        )
    said = item if _SPEAKABLE.fullmatch(item) else "an item"
    if bounds := _RANGE.fullmatch(item):
        return _parse_range(parameter, *bounds.groups())
    stem, star, rest = item.partition("*")
    if rest or (star and not stem):
        raise ValueError(
            f"In the rule on {parameter}, {said} is no prefix: * stands once, at the end, after some text."
        )
    if _SECRET_SHAPE.search(item):
        raise ValueError(
            f"The rule on {parameter} holds what looks like a key or a token. Rules are shown to callers and stand in "
            "the journal: they must hold none."
        )
    _check_form(parameter, said, stem, is_prefix=bool(star))
    return Prefix(stem) if star else Exact(item)


def _parse_range(parameter: str, first: str, last: str) -> Range:
    if len(first) != len(last):
        raise ValueError(
            f"In the rule on {parameter}, both ends of {first}-{last} must have the same number of digits. Write it in "
            "parts, as in 90-99,100-110."
        )
    if first > last:
        raise ValueError(f"In the rule on {parameter}, {first}-{last} runs downwards. Write {last}-{first}.")
    for end in (first, last):
        _check_form(parameter, end, end, is_prefix=False)
    return Range(first, last)


def _check_form(parameter: str, said: str, stem: str, *, is_prefix: bool) -> None:
    """
    Refuse what could never allow a value.

    Args:
        said: How the error names the item.
    """
    if parameter == EXTENSION and not _EXTENSION_TEXT.fullmatch(stem):
        raise ValueError(
            f"In the rule on extension, {said} is no extension: write 1 to 10 digits without a technology, as in 410; "
            "that covers SIP/410 and PJSIP/410 too."
        )
    form = _PHONE_PREFIX if is_prefix else _PHONE_TEXT
    if parameter in PHONE_PARAMETERS and not form.fullmatch(stem):
        raise ValueError(
            f"In the rule on {parameter}, {said} is no telephone number: write 3 to 16 digits, or how they begin, with "
            "a + before them or not, as in 0412345678, 04* or +614*."
        )
