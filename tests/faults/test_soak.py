"""
A short soak: `serve` killed under load at moments that a seed chooses. `make soak` is the long one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import judge as judge_module
import pytest

if TYPE_CHECKING:
    from types import ModuleType

SOAK = Path(__file__).parent / "soak.py"
KILLS = 20
SECONDS = 90.0  # far more than they take, so that all of them come on a slow machine too


def load_soak() -> ModuleType:
    """
    The program beside this file.
    """
    specification = importlib.util.spec_from_file_location("soak", SOAK)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["soak"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def uncovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Gateways that start without coverage's hooks: they are killed before they could tell.
    """
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)
    monkeypatch.delenv("COV_CORE_SOURCE", raising=False)


@pytest.mark.usefixtures("uncovered")
def test_gateways_killed_under_load_lose_nothing_and_send_nothing_twice(tmp_path: Path) -> None:
    """
    Twenty kills, or as many as 40 s allow. The judge knows the simulator's log and the journal's files alone.
    """
    soak = load_soak().run_soak(tmp_path, seed=20, kills=KILLS, seconds=SECONDS)

    assert soak.verdict.is_clean, soak.verdict
    assert KILLS == soak.kills
    assert soak.verdict.recovered > 0
    assert soak.verdict.calls >= soak.verdict.requests >= soak.answered > 0
    told = soak.as_json(20)
    assert [0] * 6 == list(told.values())[:6]
    assert soak.kills == told["kills"]


def line(seq: int, before: bytes, **fields: Any) -> bytes:
    """
    One record of a stream, chained to the line before.
    """
    place = {
        "v": 1,
        "stream": "worker-0",
        "seq": seq,
        "prev": hashlib.sha256(before).hexdigest() if before else "0" * 64,
    }
    return json.dumps({**place, "at": f"2026-05-03T09:15:0{seq}.000000Z", **fields}).encode()


def write_journal(root: Path, *events: dict[str, Any]) -> Path:
    """
    A stream with these events.
    """
    folder = root / "worker-0"
    folder.mkdir(parents=True)
    lines: list[bytes] = []
    for seq, event in enumerate(events, 1):
        origin: dict[str, Any] = {"node": "test", "previous": None} if seq == 1 else {}
        lines.append(line(seq, lines[-1] if lines else b"", **event, **origin))
    (folder / "00000001.jsonl").write_bytes(b"".join(each + b"\n" for each in lines))
    return root


def intended(request_id: str, extension: str) -> dict[str, Any]:
    """
    An intent to dial.
    """
    parameters = {"extenOrUniqueId": {"text": extension}}
    call = {"tag": "call.intended", "operation": "CallManagementAPI/dial", "parameters": parameters}
    return {**call, "request_id": request_id, "attempt": 1}


def ended(request_id: str, outcome: str = "succeeded") -> dict[str, Any]:
    """
    Its end.
    """
    return {"tag": "call.ended", "request_id": request_id, "attempt": 1, "outcome": outcome}


def request(extension: str, second: int = 9) -> dict[str, Any]:
    """
    A dial at the simulator.
    """
    target = f"/servicemanager/rest/CallManagementAPI/dial?apiKey=k&extenOrUniqueId={extension}"
    return {"target": target, "at": f"2026-05-03T09:15:0{second}.000000Z"}


@pytest.mark.parametrize(
    ("events", "requests", "wrong"),
    [
        ([intended("a", "1"), ended("a")], [request("1")], None),
        ([intended("a", "1"), ended("a", "unknown")], [], None),
        ([intended("a", "1"), ended("a")], [request("1"), request("2")], "unrecorded"),
        ([intended("a", "1"), ended("a")], [request("1", second=0)], "unrecorded"),
        ([intended("a", "1"), ended("a")], [request("1"), request("1")], "doubles"),
        ([intended("a", "1")], [request("1")], "open"),
        ([intended("a", "1"), ended("a"), ended("a")], [request("1")], "ended_twice"),
        ([intended("a", "1"), ended("a", "not_sent")], [request("1")], "contradicted"),
        ([intended("a", "1"), ended("a")], [], "contradicted"),
    ],
)
def test_the_judge_finds_what_is_wrong(
    tmp_path: Path, events: list[dict[str, Any]], requests: list[dict[str, Any]], wrong: str | None
) -> None:
    """
    Who judges the judge: a journal and a log that are wrong in one way each.
    """
    journal = write_journal(tmp_path / "journal", *events)
    (tmp_path / "requests.json").write_text(json.dumps(requests))

    verdict = judge_module.judge(requests, journal)
    program = [sys.executable, judge_module.__file__, str(tmp_path / "requests.json"), str(journal)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)

    assert (wrong is None) == verdict.is_clean
    assert wrong is None or getattr(verdict, wrong)
    assert (0 if wrong is None else 1) == done.returncode, done.stderr


def test_the_judge_finds_a_broken_chain(tmp_path: Path) -> None:
    """
    One digit changed.
    """
    journal = write_journal(tmp_path, intended("a", "1"), ended("a"), ended("b"))
    path = journal / "worker-0" / "00000001.jsonl"
    path.write_bytes(
        path.read_bytes().replace(
            b'"request_id": "a", "attempt": 1, "outcome"', b'"request_id": "x", "attempt": 1, "outcome"'
        )
    )

    assert ["worker-0/00000001.jsonl, line 3: not the record that must stand here"] == judge_module.judge(
        [], journal
    ).broken


def test_the_judge_imports_nothing_of_the_gateway() -> None:
    """
    A mistake in how the journal is written must not hide in how it is read.
    """
    assert "gateway" not in [
        word
        for text in Path(judge_module.__file__).read_text().splitlines()
        if text.startswith(("import", "from"))
        for word in text.replace(".", " ").split()
    ]
