"""
The signals that a node hears, and who hears them: the supervisor alone.

SIGTERM and SIGINT ask it to end, SIGHUP to read its settings and certificates again. Ctrl-C in a terminal goes to every
process of the group, and a service manager may send SIGTERM to all of them. A plane that acted on that by itself would
end while the supervisor, which has not looked yet, replaces it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Terminal", "block_signals", "hear_signals", "ignore_signals"]

_HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def block_signals() -> Iterator[None]:
    """
    Keep them waiting for the block's duration. What is started or becomes another program within it begins like that.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def hear_signals() -> Iterator[int]:
    """
    A descriptor from which the number of each that arrives, or has been waiting, can be read, a byte each.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in _HEARD:
            signal.signal(number, _do_nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        yield reading
    finally:
        signal.set_wakeup_fd(-1)
        os.close(writing)
        os.close(reading)


def ignore_signals() -> None:
    """
    For a plane: also those that came while it was being started.
    """
    for number in _HEARD:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)


class Terminal:
    """
    The terminal that we were started in, if there is one: its end is told by the same signal as an order to reload.

    Make it before signals are heard. SIGHUP that is ignored then says that a terminal's end is not ours: so does
    `nohup`.
    """

    def __init__(self) -> None:
        self._was_there = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()

    def is_gone(self) -> bool:
        """
        Whether it was there and is no longer.
        """
        return self._was_there and not _has_terminal()


def _has_terminal() -> bool:
    # By the time the kernel sends SIGHUP for a terminal's end it has taken the terminal from all its processes.
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _do_nothing(_number: int, _frame: object) -> None:
    # Only a signal with a handler reaches the wake-up descriptor.
    pass
