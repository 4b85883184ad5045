"""
Callers that dial one call after another over connections they keep, for as long as they are let.
"""

from __future__ import annotations

import http.client
import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from installation import API

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

MOST_CALLS = 18_000
"""The simulator remembers 20,000 requests."""

PAUSE_SECONDS = 0.008
"""Between a caller's calls, so that its connection is now busy and now idle, and half a minute does not reach that."""


@dataclass
class Load:
    """
    So many callers. Each call has an extension of its own, by which the journal and the simulator can be joined.

    Attributes:
        served: How many calls were answered by Noojee.
        lasts: How many of these answers were the last of their connection.
        failures: What all other calls came to, in words.
    """

    port: int
    token: str
    callers: int = 6
    context: ssl.SSLContext | None = None
    served: int = 0
    lasts: int = 0
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ends = threading.Event()
        self._lock = threading.Lock()
        self._extensions = itertools.count(100_000)
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(self.callers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join(30)

    def _call(self) -> None:
        connection = self._open()
        while not self._ends.wait(PAUSE_SECONDS) and (extension := next(self._extensions)) < 100_000 + MOST_CALLS:
            target = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/{extension}"
            try:
                connection.request("POST", target, headers={"Authorization": f"Bearer {self.token}"})
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._note(failure=f"{extension}: {error!r}")
                connection.close()
            else:
                failure = "" if response.status == 200 else f"{extension}: {response.status} {body!r}"
                self._note(failure=failure, is_last=response.headers["Connection"] == "close")
        connection.close()

    def _open(self) -> http.client.HTTPConnection:
        if self.context is not None:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self.context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def _note(self, *, failure: str = "", is_last: bool = False) -> None:
        with self._lock:
            if failure:
                self.failures.append(failure)
            else:
                self.served += 1
                self.lasts += is_last
