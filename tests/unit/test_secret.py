"""
`Secret`: nothing that prints, copies or serialises gives the text away.
"""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from dataclasses import asdict, dataclass

import orjson
import pytest

from gateway.secret import Secret

TEXT = "marked-0b5f1c3e"


@dataclass(frozen=True, slots=True)
class Holder:
    """
    Something with a secret in it.
    """

    secret: Secret


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        format,
        lambda secret: f"{secret!r} {secret!s} {secret:>80}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - one more way to print
        lambda secret: repr(Holder(secret)),
        lambda secret: repr({"key": [secret]}),
        lambda secret: str(ValueError(secret)),
        lambda secret: "".join(traceback.format_exception(ValueError(secret))),
        lambda secret: logging.LogRecord("x", 10, "x", 1, "%s %r", (secret, secret), None).getMessage(),
        lambda secret: json.dumps({"key": secret}, default=str),
    ],
)
def test_what_prints_a_secret_prints_a_placeholder(show: object) -> None:
    """
    In every way Python has of turning it into text.
    """
    assert callable(show)
    shown = show(Secret(TEXT))

    assert "Secret(...)" in shown
    assert TEXT not in shown


@pytest.mark.parametrize(
    "take",
    [
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        orjson.dumps,
        hash,
        vars,
        iter,
        len,
        bytes,
        lambda secret: asdict(Holder(secret)),
        lambda secret: sorted([secret, Secret("b")]),
        lambda secret: {secret: 1},
        lambda secret: secret + "",
    ],
)
def test_what_takes_a_secret_apart_fails(take: object) -> None:
    """
    With an error that does not hold the text either.
    """
    assert callable(take)
    with pytest.raises(TypeError) as caught:
        take(Secret(TEXT))

    assert TEXT not in "".join(traceback.format_exception(caught.value))


def test_the_text_leaves_by_one_method() -> None:
    """
    `reveal`, which a reviewer can search for.
    """
    assert TEXT == Secret(TEXT).reveal()


def test_secrets_are_compared_by_their_text() -> None:
    """
    Equal texts are equal secrets; a text is no secret. Text that is no UTF-8 is compared like any other.
    """
    assert Secret(TEXT) == Secret(TEXT)
    assert Secret(TEXT) != Secret(TEXT + "x")
    assert Secret(TEXT) != TEXT
    assert Secret("é\udcff") == Secret("é\udcff")
    assert Secret("é\udcff") != Secret("é\udcfe")


def test_an_empty_secret_is_none() -> None:
    """
    It would be sent, and refused, in place of a key.
    """
    with pytest.raises(ValueError, match="empty"):
        Secret("")
