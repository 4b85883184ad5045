"""
The limits of a caller: how fast it may call, and how many of its calls may run at once.

They protect the record: an allowed call is written twice, so that without a limit one token could fill the journal's
disk. Pure: time comes in as an argument, and who is short of permits is told by a value. The counts are of one worker
and begin anew with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

__all__ = ["Limits", "Permit", "Permits", "Shortage"]

_CONCURRENCY_RETRY_SECONDS = 1
"""When a running call ends cannot be known; without any word the vendor's clients ask again at once."""


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What one caller may do. No caller is without limits.

    The defaults are generous and finite: whoever works hard does not meet them, and a program that spins for a day
    leaves 100 GB on the journal and not without end.

    Attributes:
        rate_per_second: Permits that come back each second.
        burst: The most permits that can be saved up, at least 1.
        concurrency: Calls that may be under way at one time, waiting polls among them.
    """

    rate_per_second: float = 1000.0
    burst: int = 10_000
    concurrency: int = 2500

    @classmethod
    def resolve(cls, rate_per_second: float | None, burst: int | None, concurrency: int | None) -> Limits:
        """
        The limits as set, with the default for what is None: with a rate of its own, a burst of two seconds of it.
        """
        default = cls()
        if burst is None:
            burst = default.burst if rate_per_second is None else max(math.ceil(2 * rate_per_second), 1)
        return cls(
            rate_per_second=default.rate_per_second if rate_per_second is None else rate_per_second,
            burst=burst,
            concurrency=default.concurrency if concurrency is None else concurrency,
        )


@dataclass(frozen=True, slots=True)
class Shortage:
    """
    Why there is no permit now.

    Attributes:
        reason: `rate_limited` or `concurrency_limited`.
        retry_after_seconds: When to ask again, at least 1.
    """

    reason: Reason
    retry_after_seconds: int


class Permits:
    """
    The permits of all callers. Safe from one thread.

    Limits are given with each call and not kept: whatever changed them, calls that run go on counting, and no more is
    saved up than the burst in force.
    """

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def take(self, caller_name: str, limits: Limits, now: float) -> Permit | Shortage:
        """
        One permit for one call, or why there is none; a refused call costs nothing.

        Args:
            now: Monotonic seconds.
        """
        account = self._accounts.get(caller_name)
        if account is None:
            account = self._accounts[caller_name] = _Account(limits.burst, now)
        account.refill(limits, now)
        if account.running >= limits.concurrency:
            return Shortage(Reason.CONCURRENCY_LIMITED, _CONCURRENCY_RETRY_SECONDS)
        if account.saved < 1:
            return Shortage(Reason.RATE_LIMITED, max(math.ceil((1 - account.saved) / limits.rate_per_second), 1))
        account.saved -= 1
        account.running += 1
        return Permit(account)

    def forget(self, caller_names: Iterable[str]) -> None:
        """
        Forget all callers but these and those whose calls are still under way.
        """
        named = frozenset(caller_names)
        self._accounts = {name: account for name, account in self._accounts.items() if name in named or account.running}

    def __repr__(self) -> str:
        running = sum(account.running for account in self._accounts.values())
        return f"<Permits: {len(self._accounts)} callers, {running} calls running>"


class Permit:
    """
    The right to one call, given back when the call is over: a context manager.
    """

    __slots__ = ("_account",)

    def __init__(self, account: _Account) -> None:
        self._account: _Account | None = account

    def give_back(self) -> None:
        """
        The call is over. A second time does nothing.
        """
        if self._account is not None:
            self._account.running -= 1
            self._account = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()


class _Account:
    """
    One caller's.

    Attributes:
        saved: Permits of the rate, a fraction included.
        running: Calls under way.
    """

    __slots__ = ("_refilled_at", "running", "saved")

    def __init__(self, saved: float, now: float) -> None:
        self.saved = float(saved)
        self.running = 0
        self._refilled_at = now

    def refill(self, limits: Limits, now: float) -> None:
        elapsed_seconds = now - self._refilled_at
        if elapsed_seconds > 0:
            self.saved += elapsed_seconds * limits.rate_per_second
        if self.saved > limits.burst:
            self.saved = float(limits.burst)
        self._refilled_at = now
