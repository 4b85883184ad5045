"""
Sizes as text.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.size import parse_size, render_size


@given(st.integers(0, 999_999))
def test_what_is_rendered_is_read_back(kibibytes: int) -> None:
    """
    Parse and render are each other's inverse for whole KiB.
    """
    assert kibibytes * 1024 == parse_size(render_size(kibibytes * 1024))


@pytest.mark.parametrize(("text", "size_bytes"), [("512KiB", 524_288), ("64MiB", 67_108_864), ("2GiB", 2_147_483_648)])
def test_the_three_units_are_read(text: str, size_bytes: int) -> None:
    """
    And rendered in the shortest form.
    """
    assert (size_bytes, text) == (parse_size(text), render_size(size_bytes))


@pytest.mark.parametrize("text", ["", "64", "64M", "64MB", "64 MiB", " 63MiB", "64mib", "-1MiB", "1.5MiB", "\uff16MiB"])
def test_whatever_else_is_refused_without_being_repeated(text: str) -> None:
    """
    `64M` could be two sizes; it is not guessed.
    """
    with pytest.raises(ValueError, match=r"^write ") as caught:
        parse_size(text)

    assert not text or len(text) < 4 or text not in str(caught.value)
