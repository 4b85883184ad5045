"""
The operations of the Noojee API, read once from `catalogue.json`, the package's own data.

Law 5 rests on it: the bytes of the path that go up are this catalogue's, and what is not here does not exist. Law 4
too: the scope of an operation says which kind of key may serve it, and one that nobody documented counts as `system`.

An operation that is not here exists for a caller alone whose operator granted its exact path; then the least is assumed
of it that can be: it rings a telephone, and everything said to it is sensitive.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CREDENTIAL_PARAMETERS",
    "PHONE_PARAMETERS",
    "Catalogue",
    "Effect",
    "Operation",
    "Scope",
    "create_uncatalogued",
    "glob_matches",
    "load_catalogue",
]

CREDENTIAL_PARAMETERS = frozenset({"apikey", "timestamp", "hash"})
"""Credential parameter names, letters only and in lower case (contract section 3): they are the gateway's to send."""

PHONE_PARAMETERS = frozenset({"number", "callerId"})
"""Parameters that hold a telephone number and have one canonical form (contract section 3)."""

_UNCATALOGUED_PATH = re.compile(r"/(?:servicemanager|njadmin)/rest/(\w+)/(\w+)", re.ASCII)

_SERVED = frozenset({"current", "deprecated", "superseded", "undocumented"})


class Scope(StrEnum):
    """
    Which data an operation touches.
    """

    CAMPAIGN = "campaign"
    """Campaign calls: either kind of key."""

    SYSTEM = "system"
    """Everything else: a global key."""


class Effect(StrEnum):
    """
    What an operation does to the world; decides its timeouts and whether a caller who leaves ends it.
    """

    READ = "read"
    WRITE = "write"
    DIALS = "dials"
    LONG_POLL = "long-poll"

    @property
    def is_abandonable(self) -> bool:
        """
        Whether the upstream request may be given up when its caller has left (law 2): nothing was changed by it.
        """
        return self is Effect.READ or self is Effect.LONG_POLL


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One Noojee function.

    Attributes:
        name: `Family/method`, or the family alone where there is no method; the path of one outside the catalogue,
            because `Family/method` may stand under two paths.
        path: The exact bytes of the path that go up.
        parameters: Names of the query parameters, as Noojee spells them, without the credential names.
        sensitive: Those of them whose values stand in the journal as an HMAC only.
        takes_json: Whether the catalogue has a body, which is JSON.
        is_served: False for `Time` and the two legacy entries, which no glob covers.
        status: The catalogue's word: current, deprecated, superseded, undocumented, legacy.
        is_in_catalogue: False for one that an operator granted by its path.
        spellings: The names of `parameters` by their case-folded form.
    """

    name: str
    family: str
    method: str
    path: bytes
    scope: Scope
    effect: Effect
    parameters: frozenset[str]
    sensitive: frozenset[str]
    takes_json: bool
    is_served: bool
    status: str
    is_in_catalogue: bool = True
    spellings: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spellings", {name.casefold(): name for name in self.parameters})

    @property
    def is_lead_call(self) -> bool:
        """
        CampaignAPI with effect `write`: the server queues it for up to a minute, and its codes 101-110 are errors.
        """
        return self.family == "CampaignAPI" and self.effect is Effect.WRITE

    @property
    def is_recording_call(self) -> bool:
        """
        `RecordingAPI/*`: replies may be large and slow.
        """
        return self.family == "RecordingAPI"


class Catalogue:
    """
    All operations, found by the bytes of a path or by name.
    """

    def __init__(self, operations: tuple[Operation, ...]) -> None:
        self.operations = operations
        self._by_path = {operation.path: operation for operation in operations}
        self._by_name = {operation.name: operation for operation in operations}

    def find_by_path(self, path: bytes) -> Operation | None:
        """
        The operation at exactly these bytes: no decoding, no normalisation, case-exact (law 9).
        """
        return self._by_path.get(path)

    def find_by_name(self, name: str) -> Operation | None:
        """
        The operation of that name, case-exact.
        """
        return self._by_name.get(name)

    def match(self, glob: str) -> tuple[Operation, ...]:
        """
        The served operations that a glob covers, in catalogue order.
        """
        return tuple(each for each in self.operations if each.is_served and glob_matches(glob, each.name))

    def __repr__(self) -> str:
        return f"<Catalogue of {len(self.operations)} operations>"


@lru_cache(maxsize=1024)
def create_uncatalogued(path: str) -> Operation:
    """
    An operation outside the catalogue, of which nothing is known but its path: system, `dials`, all of it sensitive.

    Raises:
        ValueError: With a sentence, for a path that is none of Noojee's, is the catalogue's but for its case, or is
            `Time`, which takes no key.
    """
    parts = _UNCATALOGUED_PATH.fullmatch(path)
    if parts is None:
        raise ValueError(
            "A full path must be /servicemanager/rest/FAMILY/METHOD or /njadmin/rest/FAMILY/METHOD, of ASCII letters, "
            "digits and underscores alone, and without a *."
        )
    family, method = parts.groups()
    for known in load_catalogue().operations:
        if known.path.decode("ascii").lower() == path.lower():
            raise ValueError(f"{path} is the catalogue's {known.name}. Grant it by that name.")
    if family.lower() == "time":
        raise ValueError("Time takes no key and is not granted; the gateway asks for it itself where it needs it.")
    return Operation(
        name=path,
        family=family,
        method=method,
        path=path.encode("ascii"),
        scope=Scope.SYSTEM,
        effect=Effect.DIALS,
        parameters=frozenset(),
        sensitive=frozenset(),
        takes_json=True,
        is_served=True,
        status="granted by path",
        is_in_catalogue=False,
    )


def glob_matches(glob: str, name: str) -> bool:
    """
    Whether a glob covers a name: `*` matches any run of characters, `/` too; nothing else is special; case-exact.

    Runs in linear time: each literal piece is searched once, leftmost, which is enough when `*` is the only wildcard.
    """
    first, *rest = glob.split("*")
    if not rest:
        return glob == name
    last = rest.pop()
    if not name.startswith(first):
        return False
    position = len(first)
    for piece in rest:
        found = name.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return len(name) - position >= len(last) and name.endswith(last)


@cache
def load_catalogue() -> Catalogue:
    """
    The catalogue, read once in a process.
    """
    text = files("gateway.noojee").joinpath("catalogue.json").read_text(encoding="utf-8")
    return Catalogue(tuple(_parse_operation(entry) for entry in json.loads(text)))


def _parse_operation(entry: Mapping[str, Any]) -> Operation:
    family, method = entry["api"], entry["method"]
    parameters = frozenset(
        parameter["name"]
        for parameter in entry["params"]
        if parameter["in"] == "query" and parameter["name"].lower() not in CREDENTIAL_PARAMETERS
    )
    return Operation(
        name=f"{family}/{method}" if method else family,
        family=family,
        method=method,
        path=entry["path"].encode("ascii"),
        # `unknown` counts as system: deny by default (law 6).
        scope=Scope.CAMPAIGN if entry["scope"] == "campaign" else Scope.SYSTEM,
        effect=Effect(entry["effect"]),
        parameters=parameters,
        sensitive=parameters & frozenset(entry["sensitive_params"]),
        takes_json=entry["body"] is not None,
        is_served=bool(method) and entry["status"] in _SERVED,
        status=entry["status"],
    )
