"""
An independent judge of what the gateway promises: it reads the simulator's request log and the journal's files alone.

Imports nothing of the gateway, so that a mistake in how it writes its journal cannot hide in how it is read. The format
is that of `docs/audit-format.md`. As a program, `python judge.py REQUESTS.json JOURNAL` ends with 1 when something is
wrong.

A request at the simulator is joined to the calls of the same operation with the same parameters, as far as the journal
holds these as text. So whoever makes the load gives every call parameters of its own, such as an extension.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = ["BrokenChain", "Verdict", "judge", "read_stream"]

_WINDOW_BYTES = 1_064_960
"""How far back from its end a last segment may be torn (docs/audit-format.md)."""

Record = dict[str, Any]
Key = tuple[str, tuple[tuple[str, str], ...]]
"""An operation and parameters as text: what a request and a call have in common."""


class BrokenChain(Exception):  # noqa: N818 - a finding, no error of ours
    """
    A stream is not as it was written.
    """


@dataclass
class Verdict:
    """
    What was found. The lists hold what is wrong, as text or ids; all empty is what the laws promise.

    Attributes:
        calls: Calls with an intent.
        requests: Requests at the simulator.
        unrecorded: Requests without an intent of their own on the journal, or older than it (law 1).
        doubles: Requests beyond one for each call (law 2).
        open: Attempts without an outcome.
        ended_twice: Attempts with more than one.
        contradicted: Calls whose outcome cannot be: `not_sent` though it arrived, a reply though nothing arrived.
        recovered: Attempts that a later start closed, nothing wrong in itself.
        broken: Streams whose chain does not hold.
    """

    calls: int = 0
    requests: int = 0
    unrecorded: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    ended_twice: list[str] = field(default_factory=list)
    contradicted: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    recovered: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        """
        Whether nothing is wrong.
        """
        return not any((self.unrecorded, self.doubles, self.open, self.ended_twice, self.contradicted, self.broken))


def judge(requests: list[Record], journal: Path) -> Verdict:
    """
    Hold the simulator's requests (`GET /simulator/requests`) against the streams in a journal's folder.
    """
    verdict = Verdict(requests=len(requests))
    records: list[Record] = []
    for folder in sorted(path for path in journal.iterdir() if path.is_dir()):
        try:
            records += read_stream(folder)
        except BrokenChain as finding:
            verdict.broken.append(str(finding))
    intents = [record for record in records if record["tag"] == "call.intended"]
    _judge_outcomes(verdict, intents, [record for record in records if record["tag"] == "call.ended"])
    _judge_requests(verdict, requests, intents, records)
    return verdict


def _judge_outcomes(verdict: Verdict, intents: list[Record], endings: list[Record]) -> None:
    intended = Counter(_attempt(record) for record in intents)
    ended = Counter(_attempt(record) for record in endings)
    verdict.calls = len({record["request_id"] for record in intents})
    verdict.outcomes.update(record["outcome"] for record in endings)
    verdict.recovered = sum(record.get("reason") == "recovered" for record in endings)
    verdict.open += [attempt for attempt in intended if ended[attempt] == 0]
    verdict.ended_twice += [attempt for attempt, count in ended.items() if count > 1 or attempt not in intended]


def _judge_requests(verdict: Verdict, requests: list[Record], intents: list[Record], records: list[Record]) -> None:
    names = _find_text_names(intents)
    arrived: dict[Key, list[Record]] = defaultdict(list)
    for request in requests:
        arrived[_key_of_request(request, names)].append(request)
    intended: dict[Key, list[Record]] = defaultdict(list)
    for intent in intents:
        intended[_key_of_intent(intent, names)].append(intent)
    outcomes = defaultdict(list)
    for record in records:
        if record["tag"] == "call.ended":
            outcomes[record["request_id"]].append(record["outcome"])
    for key, found in arrived.items():
        own = sorted(intended[key], key=lambda intent: str(intent["at"]))
        calls = {intent["request_id"] for intent in own}
        verdict.unrecorded += [str(key)] * max(0, len(found) - len(own))
        verdict.doubles += [str(key)] * max(0, len(found) - max(1, len(calls)))
        pairs = zip(own, sorted(found, key=lambda request: str(request["at"])), strict=False)
        verdict.unrecorded += [str(key) for intent, request in pairs if request["at"] < intent["at"]]
    for key, own in intended.items():
        calls = {intent["request_id"] for intent in own}
        if len(calls) == 1:  # else it cannot be told which of them arrived
            verdict.contradicted += _find_contradiction(calls.pop(), outcomes, has_arrived=key in arrived)


def _find_contradiction(request_id: str, outcomes: dict[str, list[str]], *, has_arrived: bool) -> list[str]:
    told = set(outcomes[request_id])
    if has_arrived and told == {"not_sent"}:
        return [f"{request_id}: not_sent, but it arrived"]
    if not has_arrived and told & {"succeeded", "refused"}:
        return [f"{request_id}: answered, but it never arrived"]
    return []


def _attempt(record: Record) -> str:
    return f"{record['request_id']}/{record['attempt']}"


def _find_text_names(intents: list[Record]) -> dict[str, set[str]]:
    """
    For each operation, the parameters that every intent of it holds as text.
    """
    names: dict[str, set[str]] = {}
    for intent in intents:
        texts = {name for name, value in intent.get("parameters", {}).items() if name != "?" and "text" in value}
        names[intent["operation"]] = names.get(intent["operation"], texts) & texts
    return names


def _key_of_request(request: Record, names: dict[str, set[str]]) -> Key:
    parts = urlsplit(request["target"])
    operation = "/".join(parts.path.split("/")[-2:])
    wanted = names.get(operation, set())
    return operation, tuple(sorted((name, value) for name, value in parse_qsl(parts.query) if name in wanted))


def _key_of_intent(intent: Record, names: dict[str, set[str]]) -> Key:
    operation = intent["operation"]
    parameters = intent.get("parameters", {})
    return operation, tuple(sorted((name, parameters[name]["text"]) for name in names[operation]))


def read_stream(folder: Path) -> list[Record]:
    """
    A stream's records, its chain checked on the way.

    Raises:
        BrokenChain: With the file and line.
    """
    chain = _find_chain(folder)
    records: list[Record] = []
    head, before = "0" * 64, None
    for path, length in chain:
        lines = _lines_of(path, length)
        for number, line in enumerate(lines, 1):
            record = _parse(line)
            place = (record.get("v"), record.get("stream"), record.get("seq"), record.get("prev"))
            if place != (1, folder.name, len(records) + 1, head):
                raise BrokenChain(f"{folder.name}/{path.name}, line {number}: not the record that must stand here")
            if number == 1 and record.get("previous", "none") != before:
                raise BrokenChain(f"{folder.name}/{path.name}: the segment before is not as this one says")
            records.append(record)
            head = hashlib.sha256(line).hexdigest()
        before = {"name": path.name, "length": sum(len(line) + 1 for line in lines), "head": head}
    return records


def _find_chain(folder: Path) -> list[tuple[Path, int | None]]:
    """
    The segments and how much of each counts, from the last back by the names that they give.
    """
    chain: list[tuple[Path, int | None]] = []
    length: int | None = None
    segments = [path for path in sorted(folder.glob("*.jsonl")) if _lines_of(path, None)]
    while segments:
        path = segments[-1]
        chain.insert(0, (path, length))
        previous = _parse(path.read_bytes().split(b"\n")[0]).get("previous")
        if previous is None:
            return chain
        length = previous["length"]
        segments = [other for other in segments if other.name <= previous["name"]]
        if not segments or segments[-1].name != previous["name"]:
            raise BrokenChain(f"{folder.name}/{path.name}: the segment before, {previous['name']}, is missing")
    return chain


def _lines_of(path: Path, length: int | None) -> list[bytes]:
    data = path.read_bytes()
    if length is None:
        hole = data.find(b"\0", max(0, len(data) - _WINDOW_BYTES))
        length = data.rfind(b"\n", 0, hole if hole >= 0 else len(data)) + 1
        while length and not _parse(data[data.rfind(b"\n", 0, length - 1) + 1 : length]):
            length = data.rfind(b"\n", 0, length - 1) + 1
    if len(data) < length:
        raise BrokenChain(f"{path.parent.name}/{path.name}: shorter than the next segment says")
    return data[:length].split(b"\n")[:-1]


def _parse(line: bytes) -> Record:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) and type(record.get("seq")) is int else {}


def main() -> int:
    """
    Judge what two paths name, and print it.
    """
    verdict = judge(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
    sys.stdout.write(json.dumps(verdict.__dict__, indent=2) + "\n")
    return 0 if verdict.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
