"""
The signals that ask a node to end, and who hears them: the supervisor alone.

Ctrl-C in a terminal goes to every process of the group, and a service manager may send SIGTERM to all of them. A plane
that acted on that by itself would end while the supervisor, which has not looked yet, replaces it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["block_ending_signals", "hear_ending_signals", "ignore_ending_signals"]

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def block_ending_signals() -> Iterator[None]:
    """
    Keep them waiting for the block's duration. What is started or becomes another program within it begins like that.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def hear_ending_signals() -> Iterator[int]:
    """
    A descriptor that becomes readable when one arrives, or has been waiting.

    SIGHUP stays ignored where it is: so `nohup` says that a terminal's end is not ours.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in _ENDING:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _do_nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        yield reading
    finally:
        signal.set_wakeup_fd(-1)
        os.close(writing)
        os.close(reading)


def ignore_ending_signals() -> None:
    """
    For a plane: also those that came while it was being started.
    """
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _do_nothing(_number: int, _frame: object) -> None:
    # Only a signal with a handler reaches the wake-up descriptor.
    pass
