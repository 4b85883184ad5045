"""
A plane's end of the two pipes to its supervisor: what it is told, what it tells, and when it is to end.

Standard input begins with the assignment, one line of JSON; then come orders, one a line; and its end is the order to
drain and end, whether the supervisor has closed it or is no more. Standard output is for the supervisor alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from typing import TYPE_CHECKING

from gateway.errors import EXIT_UNEXPECTED, OperatorError, OperatorReason, StorageError
from gateway.logs import configure_logging, render_exception
from gateway.supervisor.assignment import Assignment
from gateway.supervisor.orders import END, RELOAD
from gateway.supervisor.signals import ignore_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.tls import ServerTls

__all__ = ["Lifeline", "live"]

_STDIN, _STDOUT = 0, 1
_READ_BYTES = 65536

_logger = logging.getLogger(__name__)


class Lifeline:
    """
    The pipes, as the plane's process uses them.
    """

    def __init__(self) -> None:
        self._unread = b""

    def read_assignment(self) -> Assignment | None:
        """
        Wait for the first line; None when the supervisor has gone before it said anything.
        """
        while b"\n" not in self._unread:
            data = os.read(_STDIN, _READ_BYTES)
            if not data:
                return None
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return Assignment.parse(line)

    def tell_ready(self) -> None:
        """
        Connections are served from now on.
        """
        self._tell({"ready": True})

    def reload(
        self, order: str, tls: ServerTls | None, take: Callable[[Assignment], None] = lambda _assignment: None
    ) -> None:
        """
        Carry out an order to reload, and tell what came of it: what every plane has here, the rest in `take`.

        Args:
            order: `RELOAD` and an assignment.
            tls: What the plane's port is served with.
            take: Brings into force what else of it can change. When a certificate cannot be used, nothing does.
        """
        failure = None
        try:
            assignment = Assignment.parse(order.removeprefix(RELOAD))
            if tls is not None:
                tls.reload(*assignment.tls_files)
            configure_logging(assignment.log_level, form=assignment.log_format)
            take(assignment)
        except OperatorError as error:
            failure = error.detail
        except Exception as error:  # noqa: BLE001 - the edge: an order of another release; what came of it is told
            failure = f"unexpected error: {render_exception(error)}"
        self._tell({"reloaded": failure is None, "detail": failure})

    def tell_failure(self, reason: OperatorReason, detail: str) -> None:
        """
        Why the process ends.
        """
        self._tell({"failed": reason, "detail": detail})

    async def wait_for_end(self, take_order: Callable[[str], None] | None = None) -> None:
        """
        Return when the process is to end; orders that come before go to `take_order`.
        """
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        last = ""

        def take(data: bytes) -> None:
            nonlocal last
            *lines, self._unread = (self._unread + data).split(b"\n")
            for line in lines:
                last = line.decode()
                if take_order is not None:
                    take_order(last)

        def hear() -> None:
            data = os.read(_STDIN, _READ_BYTES)
            take(data)
            if not data:
                loop.remove_reader(_STDIN)
                ended.set()

        take(b"")  # what came together with the assignment
        loop.add_reader(_STDIN, hear)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(_STDIN)
        if last != END:
            _logger.warning("the supervisor is gone; this process ends too")

    def _tell(self, word: Mapping[str, object]) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody is left to be told, and the lifeline has ended too
            os.write(_STDOUT, json.dumps(word).encode() + b"\n")


def live(serve: Callable[[Lifeline, Assignment], None]) -> int:
    """
    A plane's process from its first instant to its exit code.

    Args:
        serve: Does everything; returns when the lifeline has ended.
    """
    ignore_signals()
    lifeline = Lifeline()
    assignment = lifeline.read_assignment()
    if assignment is None:
        return 0
    configure_logging(assignment.log_level, form=assignment.log_format)
    try:
        serve(lifeline, assignment)
    except OperatorError as error:
        lifeline.tell_failure(error.reason, error.detail)
    except StorageError as error:
        lifeline.tell_failure(OperatorReason.JOURNAL_UNAVAILABLE, error.detail)
    except Exception as error:  # the edge; the supervisor tells of it
        _logger.debug("an exception ends the process", exc_info=error)
        lifeline.tell_failure(OperatorReason.INTERNAL, f"unexpected error: {render_exception(error)}")
        return EXIT_UNEXPECTED
    else:
        return 0
    return 1
