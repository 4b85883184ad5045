"""
A caller's limits as operators write them: `20/s`, `90/m`, whole numbers, `default`.

What they mean is `gateway.access.limits`; here is their form, and that no caller can be without them.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from gateway.access.limits import Limits
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from gateway.registry.rows import CallerRow

__all__ = ["describe_limits", "limit", "render_rate"]

_RATE = re.compile(r"([0-9]{1,6})/([sm])")
_UNIT_SECONDS = {"s": 1, "m": 60}
_RATE_LIMIT_PER_SECOND = 10_000
_BURST_LIMIT = 100_000
_CONCURRENCY_LIMIT = 10_000
_DEFAULT = "default"


def limit(caller: CallerRow, rate: str | None, burst: str | None, concurrency: str | None) -> CallerRow:
    """
    The caller with those limits that are given: None leaves one as it is, `default` takes it back.

    Raises:
        OperatorError: `invalid`.
    """
    return dataclasses.replace(
        caller,
        rate_per_second=caller.rate_per_second if rate is None else _parse_rate(rate),
        burst=caller.burst if burst is None else _parse_count(burst, "burst", _BURST_LIMIT),
        concurrency=(
            caller.concurrency if concurrency is None else _parse_count(concurrency, "concurrency", _CONCURRENCY_LIMIT)
        ),
    )


def _parse_rate(text: str) -> float | None:
    if text == _DEFAULT:
        return None
    found = _RATE.fullmatch(text)
    rate = int(found[1]) / _UNIT_SECONDS[found[2]] if found else 0.0
    if not 0 < rate <= _RATE_LIMIT_PER_SECOND:
        raise OperatorError(
            OperatorReason.INVALID,
            "A rate is a whole number of calls a second or a minute, as in 20/s or 90/m, at least 1/m and at most "
            f"{_RATE_LIMIT_PER_SECOND}/s; or `{_DEFAULT}`. No caller is without one; to stop a caller, disable it.",
        )
    return rate


def _parse_count(text: str, what: str, most: int) -> int | None:
    if text == _DEFAULT:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= most:
        raise OperatorError(OperatorReason.INVALID, f"The {what} is a whole number from 1 to {most}, or `{_DEFAULT}`.")
    return int(text)


def render_rate(rate_per_second: float) -> str:
    """
    A rate in the form in which it is written.
    """
    # What was given a minute and is no whole number a second comes back as it was given.
    return f"{rate_per_second:.0f}/s" if rate_per_second.is_integer() else f"{round(rate_per_second * 60)}/m"


def describe_limits(caller: CallerRow) -> dict[str, object]:
    """
    The limits in force, defaults included, in the form in which they are written.
    """
    limits = Limits.resolve(caller.rate_per_second, caller.burst, caller.concurrency)
    return {
        "rate": render_rate(limits.rate_per_second),
        "burst": limits.burst,
        "concurrency": limits.concurrency,
    }
