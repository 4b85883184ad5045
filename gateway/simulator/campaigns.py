"""
Campaigns: two templates with their campaigns and allocations, of which users see the first through their team.

The leads are in `leads`. Whether a lead's campaign and allocation are among these is not looked at, as no page says
what becomes of it otherwise; only its template decides what a user may do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.simulator.leads import LeadBook
from gateway.simulator.messages import RefusalError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Campaigns"]

_TEMPLATES = {1: "Renewals", 2: "Surveys"}
_TEAM_TEMPLATES = frozenset({1})
_CAMPAIGNS = {1: {11: "Renewals north", 12: "Renewals south"}, 2: {21: "Surveys spring"}}
_ALLOCATIONS = {11: {3: "North first", 4: "North second"}, 12: {5: "South"}, 21: {6: "Spring"}}


class Campaigns:
    """
    The templates, campaigns, allocations and leads of one simulator.
    """

    def __init__(self) -> None:
        self.leads = LeadBook()

    def __repr__(self) -> str:
        return f"<Campaigns {self.leads!r}>"

    def list_templates(self, *, sees_all: bool) -> list[dict[str, Any]]:
        """
        The templates that the holder of a key sees, as `entities`.
        """
        return _list({key: name for key, name in _TEMPLATES.items() if sees_all or key in _TEAM_TEMPLATES})

    def list_campaigns(self, template_id: int, *, sees_all: bool) -> list[dict[str, Any]]:
        """
        The campaigns of a template; none for a template that does not exist or is not of the user's team.
        """
        if not sees_all and template_id not in _TEAM_TEMPLATES:
            return []
        return _list(_CAMPAIGNS.get(template_id, {}))

    def list_allocations(self, campaign_id: int, *, sees_all: bool) -> list[dict[str, Any]]:
        """
        The allocations of a campaign; none for a campaign that does not exist or is not of the user's team.
        """
        seen = {key for template_id in _TEAM_TEMPLATES for key in _CAMPAIGNS[template_id]}
        if not sees_all and campaign_id not in seen:
            return []
        return _list(_ALLOCATIONS.get(campaign_id, {}))

    @staticmethod
    def check_sight(template_id: int, *, sees_all: bool) -> None:
        """
        Whether the holder of a key may touch the leads of a template.

        Raises:
            RefusalError: 403 for a template out of the user's sight.
        """
        if not sees_all and template_id not in _TEAM_TEMPLATES:
            raise RefusalError(403, "Campaign template not visible to this user")

    def reset(self) -> None:
        """
        Forget all leads.
        """
        self.leads.reset()


def _list(names: Mapping[int, str]) -> list[dict[str, Any]]:
    return [{"id": key, "name": name} for key, name in names.items()]
