"""
`serve` killed under load, again and again, at moments that a seed chooses; then judged from outside.

A program for `make soak SEED=n KILLS=500`, which writes `benchmarks/results/soak.json`; `test_serve_killed.py` runs the
same with few kills. Bounded in kills and in time.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from installation import API, Gateway, Installation
from judge import Verdict, judge
from noojee import Noojee, run_noojee

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Soak", "run_soak"]

CALLERS = 6
LONGEST_LIFE_SECONDS = 0.4
"""How long a gateway may live under load before it is killed."""

_RESULT = Path(__file__).parent.parent.parent / "benchmarks" / "results" / "soak.json"


@dataclass
class Soak:
    """
    What was done and what the judge found.
    """

    kills: int
    answered: int
    seconds: float
    verdict: Verdict

    def as_json(self, seed: int) -> dict[str, Any]:
        """
        As it stands in the result file.
        """
        verdict = self.verdict
        return {
            "calls_at_simulator_without_intent": len(verdict.unrecorded),
            "open_intents_after_recovery": len(verdict.open),
            "doubles": len(verdict.doubles),
            "attempts_ended_twice": len(verdict.ended_twice),
            "outcomes_contradicted": len(verdict.contradicted),
            "broken_chains": len(verdict.broken),
            "kills": self.kills,
            "calls": verdict.calls,
            "calls_answered": self.answered,
            "calls_at_simulator": verdict.requests,
            "calls_closed_by_recovery": verdict.recovered,
            "outcomes": dict(sorted(verdict.outcomes.items())),
            "seconds": round(self.seconds, 1),
            "seed": seed,
            "date": datetime.now(UTC).date().isoformat(),
        }


@dataclass
class Load:
    """
    Callers that dial as fast as they are answered, each call with an extension of its own.
    """

    gateway: Gateway
    token: str
    extensions: Iterator[int]
    answered: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> list[threading.Thread]:
        """
        Begin.
        """
        threads = [threading.Thread(target=self._call_on, daemon=True) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        return threads

    def _call_on(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=10)
        try:
            while not self.stopped.is_set():
                target = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/{next(self.extensions)}"
                connection.request("POST", target, headers={"Authorization": f"Bearer {self.token}"})
                connection.getresponse().read()
                self.answered += 1
        except (OSError, http.client.HTTPException):
            pass  # killed, which is what we are here for
        finally:
            connection.close()


def run_soak(
    folder: Path,
    *,
    seed: int,
    kills: int,
    seconds: float = 3600.0,
    tell: Callable[[str], None] = lambda _: None,
) -> Soak:
    """
    Start, load, kill, `kills` times or until the time is over; then start once more, stop orderly, and judge.
    """
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    extensions = itertools.count(100_000)
    began = time.monotonic()
    done = answered = 0
    requests: list[dict[str, Any]] = []
    with run_noojee(folder / "noojee") as noojee:
        installation = Installation(folder / "data", noojee.simulator)
        installation.set_up()
        token = installation.add_caller("soak", [("everything", ["CallManagementAPI/*"])])
        while done < kills and time.monotonic() - began < seconds:
            with installation.serve() as gateway:
                load = Load(gateway, token, extensions)
                threads = load.run()
                time.sleep(chance.uniform(0, LONGEST_LIFE_SECONDS))
                gateway.kill()
                load.stopped.set()
                for thread in threads:
                    thread.join(20)
            done, answered = done + 1, answered + load.answered
            requests += _take_requests(noojee)
            if done % 50 == 0:
                tell(f"{done} kills, {len(requests)} calls at the simulator")
        with installation.serve():
            pass
        requests += _take_requests(noojee)
    took = time.monotonic() - began
    return Soak(done, answered, took, judge(requests, folder / "data" / "journal"))


def _take_requests(noojee: Noojee) -> list[dict[str, Any]]:
    """
    What has arrived since the last time; the simulator keeps the last 20,000 alone.
    """
    requests = noojee.requests()
    noojee.reset()
    return requests


def main() -> int:
    """
    `make soak`.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=3600.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="noojee-soak-") as folder:
        soak = run_soak(
            Path(folder),
            seed=args.seed,
            kills=args.kills,
            seconds=args.seconds,
            tell=lambda line: print(line, file=sys.stderr),  # noqa: T201 - a program of its own
        )
    text = json.dumps(soak.as_json(args.seed), indent=2) + "\n"
    _RESULT.parent.mkdir(parents=True, exist_ok=True)
    _RESULT.write_text(text)
    sys.stdout.write(text)
    return 0 if soak.verdict.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
