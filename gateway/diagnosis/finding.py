"""
What a check comes to: one line for a person, with what to do when there is something to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Check", "Finding", "Learnt"]


class Check(StrEnum):
    """
    What is looked at, in the order in which one thing needs the other.
    """

    SETTINGS = "settings"
    FILES = "files"
    REGISTRY = "registry"
    JOURNAL = "journal"
    DNS = "dns"
    TCP = "tcp"
    PROXY = "proxy"
    TLS = "tls"
    WHITELIST = "whitelist"
    KEY = "key"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One check's result.

    Attributes:
        ok: None where nothing can be said: it was not looked at, or there is nothing to look at.
        detail: A sentence: what was found.
        advice: A sentence or more: what to do; also where all is well and could be better.
    """

    check: Check
    ok: bool | None
    detail: str
    advice: str | None = None

    def as_json(self) -> dict[str, object]:
        """
        As `check --json` prints it.
        """
        return {"check": self.check.value, "ok": self.ok, "detail": self.detail, "advice": self.advice}


class Learnt(NamedTuple):
    """
    What a reply of Noojee's says: to a person, who is to do something about whatever failed, and as values.

    A value is what was learnt and no more, for it rings at night. A Noojee that is being maintained refuses no address
    and no key: that it is broken is a value of its own.

    Attributes:
        is_accepted: Whether Noojee lets in what came, our address or a key.
        is_answering: Whether it answers as a Noojee that works does. None where it refuses us, which it may do in good
            health, and where nothing was sent.
    """

    finding: Finding
    is_accepted: bool | None
    is_answering: bool | None
