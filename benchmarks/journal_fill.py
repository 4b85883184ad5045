"""
A journal as months of work leave it: `python -m benchmarks.journal_fill STREAM RECORDS [--as-after-a-crash]`.

The stream must hold a short run of a real gateway, with at least one call and an orderly end. Its last call's two
records are written again and again, each in its place: a number, the digest of the line before, a request id of its
own; new segments say what the ones before hold. `noojee-gateway audit verify` finds the result whole.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import BinaryIO

_SEGMENT_BYTES = 64 * 1024 * 1024
_MARK = "\x00"


class Filler:
    """
    The end of a stream, written on. No lock is taken and nothing is synced: no gateway may run.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = _SEGMENT_BYTES) -> None:
        segments = sorted(folder.glob("*.jsonl"))
        lines = segments[-1].read_bytes().splitlines(keepends=True)
        records = [json.loads(line) for line in lines]
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._path = segments[-1]
        self._node = records[0]["node"]
        self._seq = records[-1]["seq"]
        self._digest = _digest(lines[-1])
        self._length = segments[-1].stat().st_size
        if records[-1]["tag"] != "worker.stopped":
            raise ValueError(f"{self._path} does not end with an orderly stop")
        self._file: BinaryIO = self._path.open("ab")
        self._stop = _Line(records[-1])
        self._call = [
            _Line(next(record for record in reversed(records) if record["tag"] == tag and "previous" not in record))
            for tag in ("call.intended", "call.ended")
        ]

    def fill(self, records: int, *, is_orderly: bool) -> None:
        """
        Write so many records; at the end of them the mark of an orderly stop, or none, as a crash leaves it.
        """
        for number in range(records // 2):
            request_id = f"01900000-0000-7000-8000-{number:012x}"
            for line in self._call:
                self._write(line, request_id)
        if is_orderly:
            self._write(self._stop, "")
        self._file.close()

    def _write(self, line: _Line, request_id: str) -> None:
        origin = b""
        if self._length >= self._segment_bytes:
            origin = self._turn_over()
        text = line.render(self._seq + 1, self._digest, origin, request_id)
        self._file.write(text)
        self._seq += 1
        self._digest = _digest(text)
        self._length += len(text)

    def _turn_over(self) -> bytes:
        """
        Begin the next segment; returns what its first record says of this one.
        """
        previous = {"name": self._path.name, "length": self._length, "head": self._digest}
        self._file.close()
        self._path = self._folder / f"{int(self._path.stem) + 1:08d}.jsonl"
        self._file = self._path.open("xb")
        self._path.chmod(0o600)
        self._length = 0
        return json.dumps({"node": self._node, "previous": previous}, separators=(",", ":")).encode()[1:-1] + b","


class _Line:
    """
    A record with holes for what differs: number, digest, origin, request id.
    """

    def __init__(self, record: dict[str, object]) -> None:
        kept = {name: value for name, value in record.items() if name not in ("node", "previous")}
        # `request_id` is the first field after the origin (contract section 7); a record without one ends before it.
        text = json.dumps({**kept, "seq": 0, "prev": _MARK}, separators=(",", ":"), ensure_ascii=False)
        head, _, rest = text.partition(f'"seq":0,"prev":{json.dumps(_MARK)}')
        middle, has_request, tail = rest.partition('"request_id":"')
        self._head = head.encode() + b'"seq":'
        if has_request:
            self._middle, self._tail = middle.encode(), tail[tail.index('"') :].encode() + b"\n"
        else:
            self._middle, self._tail = rest[:-1].encode() + b",", b""
        self._has_request = bool(has_request)

    def render(self, seq: int, digest: str, origin: bytes, request_id: str) -> bytes:
        """
        The line, with its newline.
        """
        start = b'%b%d,"prev":"%b"%b%b' % (self._head, seq, digest.encode(), self._middle, origin)
        if self._has_request:
            return b'%b"request_id":"%b%b' % (start, request_id.encode(), self._tail)
        return start.removesuffix(b",") + b"}\n"


def _digest(line: bytes) -> str:
    return hashlib.sha256(line[:-1]).hexdigest()


if __name__ == "__main__":
    Filler(Path(sys.argv[1])).fill(int(sys.argv[2]), is_orderly="--as-after-a-crash" not in sys.argv)
