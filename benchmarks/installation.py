"""
A gateway's data folder as operators make it: `python -m benchmarks.installation`, a plan as JSON on standard input.

Its own process, so that nothing of the gateway is in the memory of the program that measures. Everything goes through
the administration, which the command line calls too, down to 200 callers with a token each. Beyond one token a caller
the rows are written directly: 100,000 verbs with two syncs each would take ten minutes.

The plan: `data_dir`, `run_dir`, `url`, `ca_file`, `key`, `callers`, `tokens` (in all, at least one a caller), `rate`
(null for the default limits), `operations`, and `tokens_file`, where the tokens' texts go, one a line, of the callers
in turn.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

from gateway.access.token import create_token_text, digest_token
from gateway.administration import callers, credentials, grants, installation, tokens, upstreams
from gateway.administration.desk import Desk
from gateway.clock import SystemClock, render_instant
from gateway.secret import Secret


def install(plan: dict[str, Any]) -> None:
    """
    Carry the plan out.
    """
    data_dir = Path(plan["data_dir"])
    place: dict[str, Any] = {
        "data_dir": data_dir,
        "run_dir": Path(plan["run_dir"]),
        "master_key_file": data_dir / "master.key",
        "node": "benchmark",
        "clock": SystemClock(),
    }
    installation.init(**place)
    names = [f"caller-{number:04d}" for number in range(plan["callers"])]
    with Desk.open(**place) as desk:
        upstreams.add(desk, "noojee", url=plan["url"], ca_pem=Path(plan["ca_file"]).read_text())
        credentials.add(desk, "everything", upstream="noojee", kind="global", owner=None, key=Secret(plan["key"]))
        texts = [_add_caller(desk, name, plan) for name in names]
    texts += _add_tokens(data_dir / "gateway.db", names, plan["tokens"] - len(texts))
    descriptor = os.open(plan["tokens_file"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{text}\n" for text in texts)


def _add_caller(desk: Desk, name: str, plan: dict[str, Any]) -> str:
    callers.add(desk, name, networks=["127.0.0.0/8"], query_token_allowed=True, rate=plan["rate"])
    grants.add(desk, name, credential="everything", operations=plan["operations"])
    _, token = tokens.issue(desk, name, expires_in=None)
    return token.reveal()


def _add_tokens(registry: Path, names: list[str], count: int) -> list[str]:
    """
    So many more tokens, of the callers in turn.
    """
    made = [create_token_text() for _ in range(count)]
    now = render_instant(SystemClock().now())
    rows = (
        (token_id, names[number % len(names)], digest_token(text.reveal()), now)
        for number, (token_id, text) in enumerate(made)
    )
    connection = sqlite3.connect(registry)
    with connection:
        connection.executemany(
            "INSERT INTO tokens (token_id, caller_name, digest, issued_at, changed_in) VALUES (?, ?, ?, ?, 1)", rows
        )
    connection.close()
    return [text.reveal() for _, text in made]


if __name__ == "__main__":
    install(json.load(sys.stdin))
