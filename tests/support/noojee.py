"""
The simulator and a gateway before it, as tests see them.
"""

from __future__ import annotations

import json
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
from installation import Gateway, Installation, Response, wait_until

from gateway.simulator import Simulator, run_in_background

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Noojee:
    """
    The simulator as a test sees it: where it is, and what reached it.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        context = ssl.create_default_context(cafile=str(simulator.ca_file))
        self._client = httpx2.Client(base_url=simulator.url, verify=context, trust_env=False)

    def requests(self) -> list[dict[str, Any]]:
        """
        Every API request that reached it.
        """
        found: list[dict[str, Any]] = self._client.get("/simulator/requests").json()
        return found

    def targets(self) -> list[str]:
        """
        Their targets, the keys as words.
        """
        names = {self.global_key: "GLOBAL", self.user_key: "USER"}
        targets = [request["target"] for request in self.requests()]
        for key, name in names.items():
            targets = [target.replace(key, name) for target in targets]
        return targets

    def polls(self) -> list[dict[str, Any]]:
        """
        The polls that wait now.
        """
        found: list[dict[str, Any]] = self._client.get("/simulator/polls").json()
        return found

    def break_next(self, operation: str, kind: str, value: object = None, times: int = 1) -> None:
        """
        Make the next calls of an operation go wrong.
        """
        fault: dict[str, object] = {"operation": operation, "times": times, "kind": kind}
        if value is not None:
            fault["value"] = value
        response = self._client.put("/simulator/faults", content=json.dumps([fault]))
        assert response.status_code < 300, response.text

    def reset(self) -> None:
        """
        Forget everything.
        """
        self.forget("faults", "calls", "polls", "requests")

    def forget(self, *what: str) -> None:
        """
        Forget some of `requests`, `calls` and `faults`, answer `polls`, let all `pairs` expire.
        """
        for each in what:
            self._client.delete(f"/simulator/{each}")

    @property
    def global_key(self) -> str:
        """
        The text of the global key.
        """
        return self.simulator.global_key_file.read_text().strip()

    @property
    def user_key(self) -> str:
        """
        The text of alice's key.
        """
        return self.simulator.user_key_files["alice"].read_text().strip()

    def close(self) -> None:
        """
        Close the control connection.
        """
        self._client.close()


@contextmanager
def run_noojee(folder: Path) -> Iterator[Noojee]:
    """
    A running simulator and the view of it.
    """
    with run_in_background(folder) as simulator:
        noojee = Noojee(simulator)
        try:
            yield noojee
        finally:
            noojee.close()


@dataclass(frozen=True)
class House:
    """
    A running gateway and the tokens of its callers.
    """

    installation: Installation
    gateway: Gateway
    tokens: dict[str, str]

    def call(self, target: str, caller: str | None = "all", **more: Any) -> Response:
        """
        One call with a caller's token in the Authorization header.
        """
        return self.gateway.call(target, self.tokens[caller] if caller else None, **more)

    def records_of(self, response: Response, count: int = 2) -> list[dict[str, Any]]:
        """
        What the journal says of the call that got this response, once it says that much.
        """
        request_id = response.headers["x-request-id"]

        def find() -> list[dict[str, Any]] | None:
            found = self.installation.calls(request_id)
            return found if len(found) >= count else None

        found: list[dict[str, Any]] = wait_until(find, f"{count} records of call {request_id}")
        return found


@contextmanager
def open_house(data_dir: Path, noojee: Noojee) -> Iterator[House]:
    """
    A running gateway before the simulator, with callers that may do different things.
    """
    installation = Installation(data_dir, noojee.simulator)
    installation.set_up()
    tokens = {
        "all": installation.add_caller("all", [("everything", ["*"])]),
        "idle": installation.add_caller("idle", []),
        "recorder": installation.add_caller(
            "recorder", [("everything", ["CallManagementAPI/start", "CallManagementAPI/stop"])]
        ),
        "campaigner": installation.add_caller("campaigner", [("campaigns", ["CampaignAPI/*"])]),
        "both": installation.add_caller("both", [("everything", ["*"]), ("campaigns", ["CampaignAPI/*"])]),
        "overreaching": installation.add_caller("overreaching", [("campaigns", ["*"])]),
        "elsewhere": installation.add_caller("elsewhere", [("everything", ["*"])], networks=["192.0.2.0/24"]),
        "header-only": installation.add_caller("header-only", [("everything", ["*"])], query_token_allowed=False),
    }
    with installation.serve(GATEWAY_LOG_LEVEL="debug") as gateway:
        yield House(installation, gateway, tokens)
