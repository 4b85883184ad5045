"""
The texts that operators choose, checked before anything else sees them.

What was not recognised is not repeated in the error: someone who pastes a key into the wrong place must not find it in
a terminal's history or a log (law 3). A text of a key's form is therefore no name of anything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.access.credential import KEY_LEAST_LENGTH, KEY_LONGEST_LENGTH
from gateway.access.token import has_upstream_key_form, is_well_formed
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from gateway.secret import Secret

__all__ = ["check_key", "parse_grant_id", "parse_name", "parse_owner", "parse_token_id"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_GRANT_ID = re.compile(r"g[0-9a-f]{12}")
_TOKEN_ID = re.compile(r"[0-9A-Za-z]{12}")
_KEY = re.compile(
    rf"[!-~]{{{KEY_LEAST_LENGTH},{KEY_LONGEST_LENGTH}}}"
)  # printable ASCII: it goes up in a query, percent-encoded
_OWNER_LIMIT = 128


def parse_name(text: str, what: str) -> str:
    """
    A name, as the contract has it (section 3).

    Args:
        what: What is named, for the sentence: "caller".

    Raises:
        OperatorError: `invalid`.
    """
    if has_upstream_key_form(text):
        raise _invalid(f"That looks like a Noojee API key, not like the name of {_with_article(what)}.")
    if not _NAME.fullmatch(text):
        raise _invalid(
            f"The name of {_with_article(what)} is 1 to 63 of a-z, 0-9 and -, the first a letter or a digit."
        )
    return text


def parse_owner(text: str) -> str:
    """
    The login of the Noojee user a `user` credential acts for.

    Raises:
        OperatorError: `invalid`.
    """
    if has_upstream_key_form(text):
        raise _invalid("That looks like a Noojee API key, not like a user's login.")
    if not text.isprintable() or text != text.strip() or not 1 <= len(text) <= _OWNER_LIMIT:
        raise _invalid(f"An owner is a Noojee user's login: 1 to {_OWNER_LIMIT} printable characters.")
    return text


def parse_grant_id(text: str) -> str:
    """
    A grant's id.

    Raises:
        OperatorError: `invalid`.
    """
    if not _GRANT_ID.fullmatch(text):
        raise _invalid("That is no grant's id. `noojee-gateway grant list CALLER` shows them.")
    return text


def parse_token_id(text: str) -> str:
    """
    A token's id, the part of it that may be logged.

    Raises:
        OperatorError: `invalid`.
    """
    if is_well_formed(text):
        raise _invalid("That is a whole token. Give its id alone: the 12 characters after njg_.")
    if not _TOKEN_ID.fullmatch(text):
        raise _invalid("That is no token's id. `noojee-gateway token list` shows them.")
    return text


def check_key(key: Secret) -> None:
    """
    Refuses a text that can be no Noojee API key.

    Raises:
        OperatorError: `invalid`.
    """
    if is_well_formed(key.reveal()):
        raise _invalid("That is a token of this gateway, not an API key of Noojee.")
    if not _KEY.fullmatch(key.reveal()):
        raise _invalid(
            f"An API key is {KEY_LEAST_LENGTH} to {KEY_LONGEST_LENGTH} printable ASCII characters without a space. "
            "Enter it alone, on one line."
        )


def _with_article(what: str) -> str:
    return f"{'an' if what[0] in 'aeiou' else 'a'} {what}"


def _invalid(detail: str) -> OperatorError:
    return OperatorError(OperatorReason.INVALID, detail)
