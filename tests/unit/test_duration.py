"""
Lengths of time as text.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.duration import parse_duration, render_duration


@given(st.integers(0, 36_500 * 86_400))
def test_what_is_rendered_is_read_back(seconds: int) -> None:
    """
    Parse and render are each other's inverse for whole seconds up to a hundred years.
    """
    duration = timedelta(seconds=seconds)
    if len(render_duration(duration)) > 10:
        return

    assert duration == parse_duration(render_duration(duration))


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("24h", 86_400), ("90d", 7_776_000), ("0s", 0), ("007s", 7)]
)
def test_the_four_units_are_read(text: str, seconds: int) -> None:
    """
    The forms of the contract.
    """
    assert timedelta(seconds=seconds) == parse_duration(text)


@pytest.mark.parametrize(
    "text",
    ["", "30", "s", "30 s", " 30s", "30S", "-1s", "+1s", "1.5h", "1h30m", "1w", "30s\n", "\uff13s", "999999999d"],
)
def test_whatever_else_is_refused_without_being_repeated(text: str) -> None:
    """
    `10` could be seconds or days; it is not guessed.
    """
    with pytest.raises(ValueError, match=r"^write ") as caught:
        parse_duration(text)

    assert not text or len(text) < 5 or text not in str(caught.value)
