"""
The operations of CampaignAPI: its lists, and leads in the manner of the old calls and of the *Fast ones.

The old inserts import what they can and tell the rest in their message; the *Fast ones take all leads or none, and say
which rule was broken by a code. Both updates answer by code.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from gateway.simulator.invocation import list_entities
from gateway.simulator.leads import Place, parse_leads
from gateway.simulator.messages import RefusalError, create_json_reply

if TYPE_CHECKING:
    from gateway.simulator.invocation import Invocation, Operations
    from gateway.simulator.messages import Reply

__all__ = ["CAMPAIGN_OPERATIONS"]


async def _list_templates(call: Invocation) -> Reply:
    return list_entities(call.systems.campaigns.list_templates(sees_all=call.sees_all))


async def _list_campaigns(call: Invocation) -> Reply:
    template_id = call.get_integer("fTemplateId")
    return list_entities(call.systems.campaigns.list_campaigns(template_id, sees_all=call.sees_all))


async def _list_allocations(call: Invocation) -> Reply:
    campaign_id = call.get_integer("fCampaignId")
    return list_entities(call.systems.campaigns.list_allocations(campaign_id, sees_all=call.sees_all))


async def _list_call_records(call: Invocation) -> Reply:
    for name in ("fTemplateId", "campaignId", "allocationId"):  # this operation alone writes two of them without an f
        call.get_integer(name)
    return list_entities([])  # no lead is ever dialled here


async def _import_lead(call: Invocation) -> Reply:
    return _import(call, _get_place(call), [_parse_lead(call)])


async def _import_leads(call: Invocation) -> Reply:
    return _import(call, _get_place(call), parse_leads(call.body))


async def _insert_fast(call: Invocation) -> Reply:
    place = _get_place(call)
    leads = parse_leads(call.body)
    call.systems.campaigns.leads.insert(place, leads, allows_duplicates=call.find("allowDuplicates") == "true")
    return _accept()


async def _update_lead(call: Invocation) -> Reply:
    place, external_id = _get_place(call), call.get("njExternalLeadId")
    call.systems.campaigns.leads.update(place, external_id, _parse_lead(call))
    return _accept()


async def _update_fast(call: Invocation) -> Reply:
    place, fields = _get_place(call), _parse_lead(call)
    # In the body by the newest page, in the query by older ones.
    external_id = str(fields.get("njExternalLeadId") or call.get("njExternalLeadId"))
    call.systems.campaigns.leads.update(place, external_id, fields)
    return _accept()


def _get_place(call: Invocation) -> Place:
    place = Place(*(call.get_integer(name) for name in ("fTemplateId", "fCampaignId", "fAllocationId")))
    call.systems.campaigns.check_sight(place.template_id, sees_all=call.sees_all)
    return place


def _parse_lead(call: Invocation) -> dict[str, Any]:
    leads = parse_leads(call.body)
    if len(leads) != 1:
        raise RefusalError(500, "EXCEPTION", 103)
    return leads[0]


def _import(call: Invocation, place: Place, leads: list[dict[str, Any]]) -> Reply:
    allows_duplicates = call.find("allowDuplicates") == "true"
    rejected = call.systems.campaigns.leads.import_each(place, leads, allows_duplicates=allows_duplicates)
    told = io.StringIO()
    told.write(f"Imported {len(leads) - len(rejected)} Updated 0 Rejected {len(rejected)} leads")
    if rejected:
        told.write("\n")
        csv.writer(told, lineterminator="\n").writerows([reason, *fields.values()] for reason, fields in rejected)
    return create_json_reply({"code": 0, "message": told.getvalue()})


def _accept() -> Reply:
    return create_json_reply({"code": 0, "message": "OK"})


CAMPAIGN_OPERATIONS: Operations = {
    "/servicemanager/rest/CampaignAPI/getCampaignTemplateList": _list_templates,
    "/servicemanager/rest/CampaignAPI/getCampaignList": _list_campaigns,
    "/servicemanager/rest/CampaignAPI/getAllocationList": _list_allocations,
    "/servicemanager/rest/CampaignAPI/getCallRecordList": _list_call_records,
    "/servicemanager/rest/CampaignAPI/insertLead": _import_lead,
    "/servicemanager/rest/CampaignAPI/insertLeads": _import_leads,
    "/servicemanager/rest/CampaignAPI/insertLeadFast": _insert_fast,
    "/servicemanager/rest/CampaignAPI/insertLeadsFast": _insert_fast,
    "/servicemanager/rest/CampaignAPI/updateLead": _update_lead,
    "/servicemanager/rest/CampaignAPI/updateLeadFast": _update_fast,
}
"""By exact path. `insertLeadsFast` is how older versions of the page write `insertLeadFast`."""
