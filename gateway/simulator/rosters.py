"""
Rosters: who is on shift in which team, as `rosterApi` tells it.

No operation changes them: whoever wants another roster puts it through the control interface.
"""

from __future__ import annotations

from typing import Any

from gateway.simulator.messages import RefusalError

__all__ = ["Rosters"]

_TEXTS = ("login", "extension", "phoneNumber", "mobileNumber", "email")
_STACK_POSITION = "statckPostion"  # spelt so by the vendor
_FIRST = (
    {"teamName": "Sales", "login": "alice", "extension": "410", "email": "alice@example.com"},
    {"teamName": "Sales", "login": "bob", "extension": "411", "email": "bob@example.com"},
    {"teamName": "Support", "login": "carol", "extension": "420", "email": "carol@example.com"},
)


class Rosters:
    """
    The shifts of one simulator.
    """

    def __init__(self) -> None:
        self._shifts: list[dict[str, Any]] = []
        self.reset()

    def __repr__(self) -> str:
        return f"<Rosters {len(self._shifts)} shifts>"

    def list_team(self, team_name: str) -> list[dict[str, Any]]:
        """
        The shifts of a team, as `entities`; none for a team that there is not.
        """
        found = [shift for shift in self._shifts if shift["teamName"] == team_name]
        return [{name: value for name, value in shift.items() if name != "teamName"} for shift in found]

    def replace(self, value: Any) -> None:
        """
        Put other shifts in place of all: a list of objects with `teamName` and any of the texts of a shift.

        A text that is not given is empty. Ids count from 1, and so do positions within a team.

        Raises:
            RefusalError: 400 for anything else.
        """
        if not isinstance(value, list):
            raise RefusalError(400, "rosters are a list")
        shifts: list[dict[str, Any]] = []
        for number, given in enumerate(value, 1):
            _check_shift(given)
            position = 1 + sum(shift["teamName"] == given["teamName"] for shift in shifts)
            shift = {"teamName": given["teamName"], "id": number, **{name: given.get(name, "") for name in _TEXTS}}
            shifts.append(shift | {_STACK_POSITION: position})
        self._shifts = shifts

    def render(self) -> list[dict[str, Any]]:
        """
        Every shift, with its team.
        """
        return list(self._shifts)

    def reset(self) -> None:
        """
        Put back the shifts of the beginning.
        """
        self.replace([dict(shift) for shift in _FIRST])


def _check_shift(given: Any) -> None:
    names = {"teamName", *_TEXTS}
    if not isinstance(given, dict) or "teamName" not in given or not names >= given.keys():
        raise RefusalError(400, f"a shift has teamName and any of {', '.join(_TEXTS)}")
    if not all(isinstance(value, str) for value in given.values()):
        raise RefusalError(400, "the members of a shift are texts")
