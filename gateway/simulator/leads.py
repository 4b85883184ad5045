"""
Leads, and the code table of the vendor's insert and update pages, as far as a simulator can know.

| code | when |
| --- | --- |
| 101 | an update finds no lead of that reference in its allocation |
| 102 | the lead has no telephone field |
| 103 | the body cannot be read |
| 105 | another lead has the number, and duplicates are not allowed |
| 106 | an update names a disposition that there is not |
| 107 | an update leaves the disposition of a lead that has none |
| 108 | an insert has the marker for no change |

The do-not-call list (104), the queue (109) and clashes (110) are not imitated. A lead is never dialled here.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.simulator.messages import RefusalError

__all__ = ["LeadBook", "Place", "parse_leads"]

_NO_CHANGE = "<No Change>"
_DISPOSITIONS = frozenset({"Sale", "Call Back", "No Answer", "Not Interested"})
_PHONE_WORDS = ("phone", "mobile", "tel", "number")


class Place(NamedTuple):
    """
    The three ids under which a lead is.
    """

    template_id: int
    campaign_id: int
    allocation_id: int


@dataclass(frozen=True, slots=True)
class _Lead:
    place: Place
    fields: dict[str, Any]


class LeadBook:
    """
    The leads of one simulator, oldest first.
    """

    def __init__(self) -> None:
        self._leads: list[_Lead] = []
        self._numbers: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<LeadBook {len(self._leads)} leads>"

    def insert(self, place: Place, leads: list[dict[str, Any]], *, allows_duplicates: bool) -> None:
        """
        Insert leads, all or none.

        Raises:
            RefusalError: with 102, 105 or 108.
        """
        numbers: set[str] = set()
        for fields in leads:
            self._check_insert(fields, numbers, allows_duplicates=allows_duplicates)
            numbers |= _find_numbers(fields)
        for fields in leads:
            self._add(place, fields)

    def import_each(
        self, place: Place, leads: list[dict[str, Any]], *, allows_duplicates: bool
    ) -> list[tuple[str, dict[str, Any]]]:
        """
        Insert those leads that can be; returns the others, each with the name of its code.
        """
        rejected: list[tuple[str, dict[str, Any]]] = []
        for fields in leads:
            try:
                self._check_insert(fields, set(), allows_duplicates=allows_duplicates)
            except RefusalError as refusal:
                rejected.append((refusal.message, fields))
            else:
                self._add(place, fields)
        return rejected

    def update(self, place: Place, external_id: str, fields: dict[str, Any]) -> None:
        """
        Change the lead with a reference of the caller's own; a field with the marker for no change stays as it is.

        Raises:
            RefusalError: with 101, 102, 105, 106 or 107; 400 without a disposition.
        """
        lead = self._get(place, external_id)
        if not any(_is_phone(name) and value for name, value in fields.items()):
            raise RefusalError(400, "NO_PHONE_FIELDS", 102)
        _check_disposition(fields, lead)
        own = _find_numbers(lead.fields)
        if any(self._numbers[number] for number in _find_numbers(fields) - own):
            raise RefusalError(400, "DUPLICATE", 105)
        self._numbers.subtract(own)
        lead.fields.update({name: value for name, value in fields.items() if value != _NO_CHANGE})
        self._numbers.update(_find_numbers(lead.fields))

    def render(self) -> list[dict[str, Any]]:
        """
        The leads that are there, each with the ids of its place.
        """
        return [
            {
                "fTemplateId": lead.place.template_id,
                "fCampaignId": lead.place.campaign_id,
                "fAllocationId": lead.place.allocation_id,
                "lead": lead.fields,
            }
            for lead in self._leads
        ]

    def reset(self) -> None:
        """
        Forget all leads.
        """
        self._leads.clear()
        self._numbers.clear()

    def _add(self, place: Place, fields: dict[str, Any]) -> None:
        self._leads.append(_Lead(place, dict(fields)))
        self._numbers.update(_find_numbers(fields))

    def _check_insert(self, fields: dict[str, Any], beside: set[str], *, allows_duplicates: bool) -> None:
        if _NO_CHANGE in fields.values():
            raise RefusalError(400, "IMPORT_BUT_NOCHANGE_SPECIFIED", 108)
        numbers = _find_numbers(fields)
        if not numbers:
            raise RefusalError(400, "NO_PHONE_FIELDS", 102)
        if not allows_duplicates and any(self._numbers[number] or number in beside for number in numbers):
            raise RefusalError(400, "DUPLICATE", 105)

    def _get(self, place: Place, external_id: str) -> _Lead:
        for lead in self._leads:
            if lead.place == place and str(lead.fields.get("njExternalLeadId", "")) == external_id:
                return lead
        raise RefusalError(400, "COULDNT_FIND_THE_LEAD", 101)


def parse_leads(body: bytes) -> list[dict[str, Any]]:
    """
    The leads of a body in any documented shape: an object, an array of objects, or objects with bare commas between.

    Raises:
        RefusalError: with 103 for anything else.
    """
    try:
        text = body.decode().strip()
        leads = json.loads(text if text.startswith("[") else f"[{text}]")
    except (ValueError, RecursionError):
        leads = []
    if not leads or not all(isinstance(lead, dict) for lead in leads):
        raise RefusalError(500, "EXCEPTION", 103)
    return list(leads)


def _check_disposition(fields: dict[str, Any], lead: _Lead) -> None:
    disposition = fields.get("njDisposition")
    if not disposition:
        raise RefusalError(400, "Missing parameter njDisposition")
    if disposition == _NO_CHANGE:
        if not lead.fields.get("njDisposition"):
            raise RefusalError(400, "DISPOSTION_ISNT_SET_AND_NOCHANGE_SPECIFIED", 107)
    elif disposition not in _DISPOSITIONS:
        raise RefusalError(400, "INVALID_DISPOSTION", 106)


def _is_phone(name: str) -> bool:
    return any(word in name.lower() for word in _PHONE_WORDS)


def _find_numbers(fields: dict[str, Any]) -> set[str]:
    found = (value for name, value in fields.items() if value and value != _NO_CHANGE and _is_phone(name))
    return {str(value).replace(" ", "") for value in found}
