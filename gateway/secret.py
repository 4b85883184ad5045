"""
A secret as a type: text that has no printable form.

Holds law 3 at the lowest level: whatever prints, formats, compares for ordering, pickles or copies into JSON a `Secret`
gets a placeholder or an error, never the text. The text leaves by one method whose name a reviewer can search for.
"""

from __future__ import annotations

import hmac
from typing import NoReturn

__all__ = ["Secret"]

_PLACEHOLDER = "Secret(...)"


class Secret:
    """
    Text that must not be seen: a Noojee API key, a hash pair, a local token.

    Two secrets are equal when their texts are, compared in constant time. A secret has no hash, so it can be no key of
    a dictionary that someone prints.

    Args:
        text: The secret itself, any non-empty text.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("a secret must not be empty")
        self._text = text

    def reveal(self) -> str:
        """
        The text, for the one place that needs it: the wire, a seal, a digest, or the standard output of `token issue`.
        """
        return self._text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        # surrogatepass: a text that is no UTF-8 must not end in an exception, which would hold it.
        return hmac.compare_digest(
            self._text.encode(errors="surrogatepass"), other._text.encode(errors="surrogatepass")
        )

    __hash__ = None  # type: ignore[assignment]  # unhashable on purpose: see the class docstring

    def __repr__(self) -> str:
        return _PLACEHOLDER

    def __str__(self) -> str:
        return _PLACEHOLDER

    def __format__(self, format_spec: str) -> str:
        return _PLACEHOLDER

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled or copied")
