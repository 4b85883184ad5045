"""
A Noojee that behaves as the vendor's documents say, over HTTPS, for demos, newcomers and tests.

It owns a small telephone system, some campaigns, two kinds of API key and a control interface that shows what was
received and injects faults. It refuses to know the gateway: nothing of the rest of the package is imported here, so
that a wrong reading of the API cannot prove itself. It is no security boundary: bounds are generous, keys are kept
plain.

The documents are silent on the following; what stands here is our choice, and a live server may differ:

- what an address outside the white-list sees: HTTP 403 with a JSON error;
- what a missing, an unknown or a too weak key sees: HTTP 401, 403 and 403 with a negative `Code`;
- negative codes other than -1 (an expired hash pair): every refusal has `Code` -2;
- the HTTP status of the reply to an expired hash pair: 200, and the reply is the same in every family;
- what a sixth authentication attempt at once gets: 429, as the reply to `Time`;
- whose hour it is: a pair's hour begins with its first use; what counts as one of five attempts: see `hash_pairs`;
- the hash method with a user key: served; a pair beside an `apiKey`: the key counts;
- a missing or unreadable parameter, a stop without a start, a second start, a hangup without a call: HTTP 400;
- whether parameters are read from a form body too: they are, as a servlet does, the query first;
- GET, which the vendor's own client uses on some methods against its documents: 405, as documented; of `rosterApi` and
  `systemHealth` nothing is documented, so that both POST and GET are accepted;
- an idle subscribe: `Data` is `{}` and `seq` the server-wide number; a `lastSequenceNumber` from the future waits;
- how long events are kept: the last 10,000; a recording has no documented status, so `start` and `stop` tell the state
  of the extension's call again, to wake who waits;
- a recording on an extension without a call that we placed: accepted, as if the extension were in a call of its own;
- what checkState waits for: the next event, of which it tells the state and not the story; `timeOut=0` waits for none;
- answer of a call that is connected, as every call here is: accepted at the call's own extension;
- which recordings are listed: those that have ended, one leg each, in UTC; what number of `Direction` means what;
- what a second hourly list within a minute gets: 429; it is one minute for the whole server, and an error spends none;
- the reply of the old lead calls to a lead that they reject: 200 with `code` 0, it stands in the message;
- which dispositions there are, and what an update without one gets: 400; the code table of the *Fast calls is that of
  updateLead, too; getCallRecordList is empty, since no lead is ever dialled;
- a team, campaign or template that there is not: an empty list;
- dial without the technology that its extension "must carry" (not a word on what happens if not): accepted;
- a second call at an extension: accepted; every call is answered at once;
- which lead fields are telephone fields (each customer sets that up): names with phone, mobile, tel or number in them;
- the 100 ms that a lead call takes at least, the queue for lead calls and its code 109 are not imitated.

One place departs from the documents: `monitored` defaults to `no` there, and here only a spoken `monitored=no` keeps
the events of a dialled call from its subscribers, so that a first experiment shows something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.simulator.background import run_in_background
    from gateway.simulator.server import Simulator

__all__ = ["Simulator", "run_in_background"]


def __getattr__(name: str) -> Any:
    """
    `Simulator` and `run_in_background`, imported when asked for: the command line reads this package to list its verbs.
    """
    if name == "Simulator":
        from gateway.simulator.server import Simulator

        return Simulator
    if name == "run_in_background":
        from gateway.simulator.background import run_in_background

        return run_in_background
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
