"""
Rows that must be there, for several nouns' verbs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.administration.names import parse_name
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from gateway.registry.reading import Reading
    from gateway.registry.rows import CallerRow

__all__ = ["get_caller"]


def get_caller(registry: Reading, name: str) -> CallerRow:
    """
    The caller of that name.

    Raises:
        OperatorError: `not_found`; `invalid` for what is no name.
    """
    caller = registry.find_caller(parse_name(name, "caller"))
    if caller is None:
        raise OperatorError(
            OperatorReason.NOT_FOUND,
            f"There is no caller {name}. `noojee-gateway caller list` shows those there are.",
        )
    return caller
