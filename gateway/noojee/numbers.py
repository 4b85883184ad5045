"""
The one canonical form of a telephone number, used by rules and by the journal's HMAC alike (contract section 3).

Not a telephone-number library: what such a library reads out of `0412345678;ext=0900` is not what Noojee dials.
"""

from __future__ import annotations

__all__ = ["canonical_number"]


def canonical_number(value: str, country: str) -> str:
    """
    A number as written, but for a leading `+<country>` or ` <country>` (a `+` read as a space), which becomes `0`.

    Args:
        value: The decoded value of `number` or `callerId`, or a rule's value.
        country: Digits of the country calling code, `61` for Australia.
    """
    for sign in ("+", " "):
        international = sign + country
        if value.startswith(international):
            return "0" + value.removeprefix(international)
    return value
