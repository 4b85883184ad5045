"""
The table of `matrix.csv` as cases: which call each row stands for, and whether what came of it is what the row says.

Imports nothing of the gateway, whose every answer it judges. Operations are chosen by name or group, `-` before those
that are taken away again. `send` changes an operation's parameters, which are written as they are sent.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Case", "Operation", "Row", "expand", "find_fault", "read_operations", "read_rows"]

DENIALS_OF_A_CALLER = 90
"""After 100 denials a minute a caller gets 429, so more cases of one row's grants are shared among callers alike."""

CARRIERS = ("authorization", "x-api-key", "query")

_CREDENTIALS = {"api_key", "hash", "time-Stamp"}
"""Names in the table that the gateway takes out."""


@dataclass(frozen=True)
class Operation:
    """
    A line of `matrix_operations.csv`.
    """

    name: str
    path: str
    groups: frozenset[str]
    parameters: str


@dataclass(frozen=True)
class Row:
    """
    A line of `matrix.csv`.
    """

    number: int
    token: str
    grants: tuple[str, ...]
    operations: tuple[Operation, ...]
    send: str
    status: str
    reason: str
    key: str

    @property
    def is_denied(self) -> bool:
        """
        Whether the gateway answers itself.
        """
        return self.status != "noojee"


@dataclass
class Case:
    """
    One call, and what came of it.
    """

    row: Row
    operation: Operation
    carrier: str
    caller: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def parameters(self) -> str:
        """
        What is sent, as it stands in the query or the form.
        """
        name = "exten" if self.operation.parameters.startswith("exten=") else "extenOrUniqueId"
        items = [item for item in self.operation.parameters.split("&") if item]
        for word in self.row.send.replace("EXTEN", name).split():
            changed = word.removeprefix("-").partition("=")[0]
            items = [item for item in items if item.partition("=")[0] != changed]
            if not word.startswith("-"):
                items.append(word)
        return "&".join(items)


def read_operations(folder: Path) -> list[Operation]:
    """
    The operations, and paths that are none.
    """
    with (folder / "matrix_operations.csv").open(newline="") as file:
        return [
            Operation(line["operation"], line["path"], frozenset(line["groups"].split()), line["parameters"])
            for line in csv.DictReader(file)
        ]


def choose(operations: Sequence[Operation], text: str) -> tuple[Operation, ...]:
    """
    The operations that a row names: groups and names, `-` before those that are taken away again.
    """

    def named(word: str) -> set[Operation]:
        if word == "all":
            return set(operations)
        if word == "served":
            return {each for each in operations if each.groups & {"system", "campaign"}}
        found = {each for each in operations if word == each.name or word in each.groups}
        assert found, f"no operation or group {word}"
        return found

    chosen: set[Operation] = set()
    for word in text.split():
        chosen = chosen - named(word[1:]) if word.startswith("-") else chosen | named(word)
    return tuple(each for each in operations if each in chosen)


def read_rows(folder: Path, operations: Sequence[Operation]) -> list[Row]:
    """
    The table, without its headings.
    """
    with (folder / "matrix.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        return [
            Row(
                number=reader.line_num,
                token=line["token"],
                grants=() if line["grants"] == "none" else tuple(line["grants"].split()),
                operations=choose(operations, line["operations"]),
                send=line["send"],
                status=line["status"],
                reason=line["reason"],
                key=line["key"],
            )
            for line in reader
            if line["token"]
        ]


def expand(rows: Sequence[Row]) -> list[Case]:
    """
    The cases, each with the caller that makes it.

    One caller for all rows of the same token state and grants, and more where one would be denied too often.
    """
    cases = []
    profiles: dict[tuple[str, tuple[str, ...]], str] = {}
    denials: Counter[str] = Counter()
    for row in rows:
        if row.status == "refused-at-grant":
            continue
        for operation in row.operations:
            for carrier in CARRIERS if row.token == "valid" else CARRIERS[:1]:
                profile = (row.token, row.grants)
                caller = profiles.get(profile)
                if caller is None or (row.is_denied and denials[caller] >= DENIALS_OF_A_CALLER):
                    caller = profiles[profile] = f"caller-{len(denials)}"
                denials[caller] += row.is_denied
                cases.append(Case(row, operation, carrier, caller))
    return cases


def find_fault(case: Case, arrivals: Sequence[str], keys: dict[str, str]) -> str | None:
    """
    In what a case differs from its row; None where it does not.
    """
    is_problem = case.headers.get("content-type") == "application/problem+json"
    if case.row.is_denied:
        reason = json.loads(case.body)["reason"] if is_problem else None
        if (str(case.status), reason) != (case.row.status, case.row.reason):
            return f"got {case.status} {reason}"
        return f"reached Noojee {len(arrivals)} times" if arrivals else None
    if is_problem:
        return f"got {case.status} {json.loads(case.body)['reason']}"
    if len(arrivals) != 1:
        return f"reached Noojee {len(arrivals)} times"
    sent = "" if case.carrier == "x-api-key" else case.parameters
    kept = [item for item in sent.split("&") if item and item.partition("=")[0] not in _CREDENTIALS]
    expected = "&".join([f"apiKey={keys[case.row.key]}", *kept])
    return None if urlsplit(arrivals[0])[2:4] == (case.operation.path, expected) else "reached Noojee otherwise"
