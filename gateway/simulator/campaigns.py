"""
Campaigns and their leads: two templates, of which users see the first through their team.

Leads are checked as the code table of the vendor's insert page says, as far as a simulator can know: a lead without a
telephone field is 102, a number that is there already is 105 unless duplicates are allowed, anything unreadable is 103.
"""

from __future__ import annotations

import json
from typing import Any

from gateway.simulator.messages import RefusalError

__all__ = ["Campaigns"]

_TEMPLATES = {1: "Renewals", 2: "Surveys"}
_TEAM_TEMPLATES = frozenset({1})
_CAMPAIGNS = {1: {11: "Renewals north", 12: "Renewals south"}, 2: {21: "Surveys spring"}}
_PHONE_WORDS = ("phone", "mobile", "tel", "number")


class Campaigns:
    """
    The templates, campaigns and leads of one simulator.
    """

    def __init__(self) -> None:
        self._numbers: set[str] = set()

    def __repr__(self) -> str:
        return f"<Campaigns {len(self._numbers)} numbers>"

    def list_templates(self, *, sees_all: bool) -> list[dict[str, Any]]:
        """
        The templates that the holder of a key sees, as `entities`.
        """
        return [{"id": key, "name": name} for key, name in _TEMPLATES.items() if sees_all or key in _TEAM_TEMPLATES]

    def list_campaigns(self, template_id: int, *, sees_all: bool) -> list[dict[str, Any]]:
        """
        The campaigns of a template; none for a template that does not exist or is not of the user's team.
        """
        if not sees_all and template_id not in _TEAM_TEMPLATES:
            return []
        return [{"id": key, "name": name} for key, name in _CAMPAIGNS.get(template_id, {}).items()]

    def insert_leads(self, template_id: int, body: bytes, *, sees_all: bool, allows_duplicates: bool) -> None:
        """
        Insert the leads of a JSON body, all or none.

        Raises:
            RefusalError: with the lead codes 102, 103 and 105, or 403 for a template out of the user's sight.
        """
        if not sees_all and template_id not in _TEAM_TEMPLATES:
            raise RefusalError(403, "Campaign template not visible to this user")
        numbers: set[str] = set()
        for lead in _parse_leads(body):
            found = _find_numbers(lead)
            if not found:
                raise RefusalError(400, "NO_PHONE_FIELDS", 102)
            if not allows_duplicates and found & (self._numbers | numbers):
                raise RefusalError(400, "DUPLICATE", 105)
            numbers |= found
        self._numbers |= numbers

    def reset(self) -> None:
        """
        Forget all leads.
        """
        self._numbers.clear()


def _parse_leads(body: bytes) -> list[dict[str, Any]]:
    """
    The leads of a body in any documented shape: an object, an array of objects, or objects with bare commas between.
    """
    try:
        text = body.decode().strip()
        leads = json.loads(text if text.startswith("[") else f"[{text}]")
    except ValueError:
        leads = []
    if not leads or not all(isinstance(lead, dict) for lead in leads):
        raise RefusalError(500, "EXCEPTION", 103)
    return list(leads)


def _find_numbers(lead: dict[str, Any]) -> set[str]:
    return {
        str(value).replace(" ", "")
        for name, value in lead.items()
        if value and any(word in name.lower() for word in _PHONE_WORDS)
    }
