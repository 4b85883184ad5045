"""
An installation as its operators see it: the desk, the journal as read back, workers that acknowledge or not.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.administration.desk import Desk
from gateway.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GLOBAL_KEY = Secret("7d0c1c52-4a9e-4a0b-9a53-00000000aaaa")
USER_KEY = Secret("7d0c1c52-4a9e-4a0b-9a53-00000000bbbb")


class StandingClock:
    """
    A clock that a test sets.
    """

    def __init__(self) -> None:
        self.instant = datetime(2026, 5, 3, 9, 15, tzinfo=UTC)

    def now(self) -> datetime:
        """
        The instant it was set to.
        """
        return self.instant

    def monotonic(self) -> float:
        """
        The machine's: what waits must end.
        """
        return time.monotonic()


@dataclass
class Office:
    """
    A data folder and what is done with it.
    """

    data_dir: Path
    run_dir: Path
    clock: StandingClock = field(default_factory=StandingClock)

    @property
    def place(self) -> dict[str, Any]:
        """
        The arguments of `init` and of `Desk.open`.
        """
        return {
            "data_dir": self.data_dir,
            "run_dir": self.run_dir,
            "master_key_file": self.data_dir / "master.key",
            "node": "test",
            "clock": self.clock,
        }

    def open_desk(self) -> Desk:
        """
        The desk that verbs work at.
        """
        return Desk.open(**self.place)

    def read_journal(self) -> list[dict[str, Any]]:
        """
        The records of the operators' stream.
        """
        segments = sorted((self.data_dir / "journal" / "admin").glob("*.jsonl"))
        return [json.loads(line) for segment in segments for line in segment.read_bytes().splitlines()]

    def read_tags(self) -> list[str]:
        """
        Their tags.
        """
        return [record["tag"] for record in self.read_journal()]

    def listen(self, name: str, answer: Callable[[bytes], bytes | None]) -> Listener:
        """
        A worker's socket. `answer` gets the line and gives the reply; None keeps the connection open in silence.
        """
        return Listener(self.run_dir / name, answer)


class Listener:
    """
    What a worker does at its socket, as far as a verb can see.
    """

    def __init__(self, path: Path, answer: Callable[[bytes], bytes | None]) -> None:
        self.lines: list[bytes] = []
        self._answer = answer
        self._silent: list[socket.socket] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(8)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for connection in self._accept():
            line = connection.makefile("rb").readline()
            self.lines.append(line)
            reply = self._answer(line)
            if reply is None:
                self._silent.append(connection)
                continue
            connection.sendall(reply)
            connection.close()

    def _accept(self) -> Iterator[socket.socket]:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            yield connection

    def close(self) -> None:
        """
        Listen no more; the file stays, as after a kill.
        """
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self._silent:
            connection.close()
