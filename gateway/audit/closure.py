"""
How an intent is closed by somebody else than the call it tells of: by recovery, or by a journal that told no in vain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.audit.event import CALL_FIELDS, Tag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.audit.event import Event
    from gateway.outcome import Outcome

__all__ = ["close_intent"]


def close_intent(intent: Mapping[str, Any], outcome: Outcome, reason: str) -> Event:
    """
    `call.ended` for the attempt of a `call.intended`, whose fields from `request_id` to `policy_version` it repeats.
    """
    copied = {name: intent[name] for name in CALL_FIELDS if name in intent}
    return {"tag": Tag.CALL_ENDED, **copied, "outcome": outcome, "reason": reason}
