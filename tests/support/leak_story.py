"""
A gateway's whole life with marked keys and tokens, everything that it writes gathered on the way.

Tells how the gateway is driven; what is asserted of it stands in the tests. Keys are planted with the simulator, so
they are the real ones: a call that succeeds has carried one up.
"""

from __future__ import annotations

import base64
import socket
from typing import TYPE_CHECKING, Any

from command_line import CommandLine
from installation import Installation
from outputs import Outputs

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Done
    from installation import Gateway, Response
    from noojee import Noojee

__all__ = ["KEYS", "Story", "ask_for_metrics", "plant_keys"]

KEYS = {
    "global key": "1EAced00-5eED-4bAD-8Ace-c0ffEE00Dead",
    "user key": "Odd\"Key\\'<&%41+/=~:marked{}",  # of a form that nobody would recognise
    "key that Noojee does not know": "Feedca11-DEaf-4C0d-9eeF-baDDecafD1a1",
    "key that we do not hold": "0DDba11C-afEd-4eAd-AbED-face1e55D00d",
    "key in a wrong place": "c0c0A111-FacE-4D0D-bAAd-5ca1ab1eB0Ad",
}
CALLERS = {
    "all": ("everything", "*"),
    "recorder": ("everything", "CallManagementAPI/st*"),
    "campaigner": ("campaigns", "CampaignAPI/*"),
    "overreaching": ("campaigns", "*"),
    "elsewhere": ("everything", "*"),
    "header-only": ("everything", "*"),
    "unknown": ("unknown-key", "*"),
    "stranger": ("stranger-key", "*"),
    "misnamed": ("misnamed-key", "*"),
    "gone": ("gone-key", "*"),
    "doomed": ("doomed-key", "*"),
}
_OPTIONS = {"elsewhere": "--from 192.0.2.0/24", "header-only": "--no-query-token"}


def plant_keys(folder: Path) -> None:
    """
    The simulator's keys, to be found by it when it starts there.
    """
    folder.mkdir(mode=0o700)
    (folder / "global.key").write_text(KEYS["global key"])
    (folder / "alice.key").write_text(KEYS["user key"])


def ask_for_metrics(gateway: Gateway) -> bytes:
    """
    What operators see in numbers.
    """
    response = gateway.call("/metrics", method="GET", port=gateway.admin_port)
    assert 200 == response.status
    return response.body


class Story:
    """
    What happens, and what was written.

    Attributes:
        secrets: Name -> what must not show: keys, tokens as they are issued, the ring.
        reasons: Those of all refusals that callers got.
    """

    def __init__(self, folder: Path, noojee: Noojee, stranger_ca_file: Path) -> None:
        self.noojee = noojee
        self.installation = Installation(folder / "data", noojee.simulator)
        self.command_line = CommandLine(folder)
        self.outputs = Outputs()
        self.secrets: dict[str, str | bytes] = dict(KEYS)
        self.tokens: dict[str, str] = {}
        self.reasons: set[str] = set()
        self._stranger_ca_file = stranger_ca_file
        self._count = 0

    def set_up(self) -> None:
        """
        By verbs alone, as an operator would: four upstreams, three of which will not do, and callers for all.
        """
        url, ca_file = self.noojee.simulator.url, self.noojee.simulator.ca_file
        port = url.rsplit(":", 1)[1]
        self.run("init")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening, and nobody's afterwards
            gone = taken.getsockname()[1]
        for name, address, authority in (
            ("noojee", url, ca_file),
            ("stranger", url, self._stranger_ca_file),
            ("misnamed", f"https://127.1:{port}", ca_file),
            ("gone", f"https://127.0.0.1:{gone}", ca_file),
        ):
            self.run(f"upstream add {name} --url {address} --ca-file {authority}")
        for name, upstream, kind, key in (
            ("everything", "noojee", "global", "global key"),
            ("campaigns", "noojee", "user --owner alice", "user key"),
            ("unknown-key", "noojee", "global", "key that Noojee does not know"),
            ("stranger-key", "stranger", "global", "global key"),
            ("misnamed-key", "misnamed", "global", "global key"),
            ("gone-key", "gone", "global", "user key"),
            ("doomed-key", "noojee", "global", "global key"),
        ):
            self.run(f"credential add {name} --upstream {upstream} --kind {kind}", stdin=KEYS[key])
        for name, (credential, operations) in CALLERS.items():
            self.run(f"caller add {name} {_OPTIONS.get(name, '')}")
            self.run(f"grant add {name} --credential {credential} --operations {operations}")
            self.issue(name)
        for line in (self.installation.data_dir / "master.key").read_text().splitlines():
            self.secrets["master key"] = base64.b64decode(line.split()[1])
            self.secrets["master key's text"] = line.split()[1]

    def issue(self, caller: str, *more: str) -> None:
        """
        A token, whose text may show on this one standard output.
        """
        self._take_token(caller, f"token issue {caller}", more)

    def rotate(self, caller: str, *more: str) -> None:
        """
        Another in place of the caller's last.
        """
        self._take_token(caller, f"token rotate {self.tokens[caller].split('_')[1]}", more)

    def _take_token(self, caller: str, line: str, more: tuple[str, ...]) -> None:
        done = self.command_line.run(line, *more)
        assert 0 == done.code, done.err
        self.tokens[caller] = str(done.value["token"]) if "--json" in more else done.out.strip()
        name = f"token {self._next()} of {caller}"
        self.secrets[name] = self.tokens[caller]
        self.outputs.add(f"standard output of {line}", done.out, allowed=[name])
        self.outputs.add(f"standard error of {line}", done.err)

    def run(self, line: str, *more: str, stdin: str | bytes = b"", code: int = 0, **settings: str) -> Done:
        """
        A verb with debug logging on, and what it said.
        """
        done = self.command_line.run(line, *more, stdin=stdin, **{"log_level": "debug", **settings})
        name = f"verb {self._next()}, {' '.join(line.split()[:2])}"
        self.outputs.add(f"standard output of {name}", done.out)
        self.outputs.add(f"standard error of {name}", done.err)
        assert code == done.code, f"{name}: {done.code}, {done.err}"
        return done

    def call(self, gateway: Gateway, target: str, caller: str | None = "all", **more: Any) -> Response:
        """
        A call, and what came down.
        """
        token = self.tokens[caller] if caller is not None else None
        return self.keep(f"call {self._next()}", gateway.call(target, token, **more))

    def keep(self, what: str, response: Response | None) -> Response:
        """
        An answer that was got in another way.
        """
        assert response is not None, f"{what} was not answered"
        self.outputs.add_response(what, response)
        if response.headers.get("content-type") == "application/problem+json":
            self.reasons.add(response.reason)
        return response

    def gather(self, when: str, gateway: Gateway | None = None) -> None:
        """
        All that can be seen of the installation now: names and contents of files, and the processes.
        """
        data_dir = self.installation.data_dir
        before = len(self.outputs.places)
        self.outputs.add_files(data_dir, aside=[data_dir / "master.key", data_dir / "audit.key"])
        if gateway is not None:
            self.outputs.add(f"metrics {when}", ask_for_metrics(gateway))
            self.outputs.add_process(f"serve {when}", gateway.process.pid)
            self.outputs.add_process(f"the worker {when}", gateway.worker_pid)
            self.outputs.add_process(f"the control plane {when}", gateway.control_plane_pid)
        assert len(self.outputs.places) > before

    def _next(self) -> int:
        self._count += 1
        return self._count
