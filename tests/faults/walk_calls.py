"""
A program that lets a worker serve one call again and again, and each time something goes wrong one step further on.

The steps are what the code itself has: every function of `gateway.durable`, which is all that durability rests on, and
the few of the pipeline between which a call is neither here nor there. One child is forked for each step, and after it
one to which nothing happens, which recovers what the first left: so all begin with the same steps, and none is skipped.
Ends when a child met no fault.

    walk_calls.py DATA_DIR TOKEN FIRST_EXTENSION HOW

HOW is `kill` (SIGKILL, and in the middle of a write), `power` (all that was not synced is gone), `tear` (half of it),
`fail` (the step fails and does nothing), `persist` (it is done, and fails all the same), `short` (a write does half of
it). Prints a JSON line for each child: the step, how the child ended, and what its caller was told.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import http.client
import inspect
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import durable
from gateway.audit import journal as journal_module
from gateway.audit.journal import Journal
from gateway.audit.recovery import recover
from gateway.clock import SystemClock
from gateway.data_plane.answer import Answer
from gateway.data_plane.worker import Worker, WorkerPlan
from gateway.errors import StorageError
from gateway.upstream.client import PooledUpstreams

if TYPE_CHECKING:
    from collections.abc import Callable

API = "/servicemanager/rest/CallManagementAPI"
ASKING = {"describe", "find_free_bytes"}
"""Functions of `durable` that change nothing."""

STORY = [(Journal, "record"), (Journal, "record_soon"), (PooledUpstreams, "send"), (Answer, "send")]
LONGEST_WALK = 300
RESERVE_BYTES = 64 * 1024
NOT_MET, REFUSED_TO_START = 3, 4
CODES = [errno.EIO, errno.ENOSPC]
DYING = {"kill", "power", "tear"}


class Fault:
    """
    What goes wrong at the step with a number; counts the steps of this process.
    """

    def __init__(self, how: str, at: int, root: Path, told: int) -> None:
        self._how = how
        self._at = at
        self._root = root
        self._told = told
        self._lock = threading.Lock()
        self._seen = 0
        self.is_met = False
        self._synced_bytes = {path.stat().st_ino: path.stat().st_size for path in root.rglob("*") if path.is_file()}
        self._synced_names = set(root.rglob("*"))

    def is_here(self, name: str) -> bool:
        """
        Count one step, and tell whether it is the one.
        """
        with self._lock:
            self._seen += 1
            self.is_met = self.is_met or self._seen == self._at
            if self._seen != self._at:
                return False
        os.write(self._told, json.dumps({"step": name}).encode())
        return True

    def die(self) -> None:
        """
        End this process as SIGKILL does, after a power cut if that is how.
        """
        if self._how in {"power", "tear"}:
            self._cut_power()
        os.kill(os.getpid(), signal.SIGKILL)

    def note(self, name: str, target: Any) -> None:
        """
        What is safe from a power cut from now on.
        """
        if name == "sync":
            self._synced_bytes[os.fstat(target).st_ino] = os.fstat(target).st_size
        elif name == "sync_folder":
            self._synced_names.update(target.iterdir())
        elif name == "create_folder":
            self._synced_names.add(target)

    def _cut_power(self) -> None:
        for path in sorted(self._root.rglob("*"), reverse=True):
            if path not in self._synced_names and path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            elif path.is_file():
                synced = self._synced_bytes.get(path.stat().st_ino, 0)
                rest = max(0, path.stat().st_size - synced)
                os.truncate(path, min(path.stat().st_size, synced + (rest // 2 if self._how == "tear" else 0)))

    def wrap(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """
        The function with the fault in it.
        """
        return self._wrap_dying(name, original) if self.is_deadly else self._wrap_failing(name, original)

    @property
    def is_deadly(self) -> bool:
        """
        Whether the process ends with it.
        """
        return self._how in DYING

    def _wrap_dying(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(*arguments: Any, **options: Any) -> Any:
            if self.is_here(f"before {name}"):
                self.die()
            if name == "write" and self.is_here("in the middle of write"):
                original(arguments[0], arguments[1][: len(arguments[1]) * 2 // 3])
                self.die()
            returned = original(*arguments, **options)
            self.note(name, arguments[0])
            return returned

        @functools.wraps(original)
        async def call_and_wait(*arguments: Any, **options: Any) -> Any:
            if self.is_here(f"before {name}"):
                self.die()
            returned = await original(*arguments, **options)
            if self.is_here(f"after {name}"):
                self.die()
            return returned

        return call_and_wait if inspect.iscoroutinefunction(original) else call

    def _wrap_failing(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        code = CODES[self._at % 2]

        @functools.wraps(original)
        def call(*arguments: Any, **options: Any) -> Any:
            if not self.is_here(f"{name} fails with {errno.errorcode[code]}"):
                return original(*arguments, **options)
            if self._how == "persist":
                returned = original(*arguments, **options)
                if isinstance(returned, int):
                    os.close(returned)  # whoever was told of an error has nothing to close
            if self._how == "short" and name == "write":
                original(arguments[0], arguments[1][: len(arguments[1]) // 2])
            raise OSError(code, os.strerror(code))

        return call


def place_faults(fault: Fault) -> None:
    """
    Put the fault before every step.
    """
    for name in durable.__all__:
        if name not in ASKING:
            setattr(durable, name, fault.wrap(name, getattr(durable, name)))
    if fault.is_deadly:
        for owner, name in STORY:
            setattr(owner, name, fault.wrap(f"{owner.__name__}.{name}", getattr(owner, name)))


def dial(port: int, token: str, extension: int) -> int:
    """
    One call; its status.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        target = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/{extension}"
        connection.request("POST", target, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


async def serve(data_dir: Path, token: str, extension: int, fault: Fault, told: int) -> int:
    """
    One worker's life: a call that may meet the fault, and, if it lives on, one after it that must not fail.
    """
    try:
        worker = await Worker.open(plan_of(data_dir), SystemClock())
    except StorageError:
        return REFUSED_TO_START
    with socket.create_server(("127.0.0.1", 0)) as bound:
        bound.setblocking(False)
        await worker.serve([bound], None)
        port = bound.getsockname()[1]
        statuses = [await asyncio.to_thread(dial, port, token, extension)]
        until = time.monotonic() + 10
        while not worker._journal.writable and time.monotonic() < until:  # noqa: ASYNC110 - the journal tells nobody when
            await asyncio.sleep(0.005)
        if not fault.is_deadly:
            statuses.append(await asyncio.to_thread(dial, port, token, extension + 1))
        os.write(told, json.dumps({"statuses": statuses}).encode())
        await worker.drain()
        await worker.close()
    return 0 if fault.is_met else NOT_MET


def settle(data_dir: Path) -> int:
    """
    What a start does first, and an orderly end last: what the last life left is closed.
    """
    root = data_dir / "journal"
    journal = Journal.open_lowest_worker(root, node="test", clock=SystemClock(), reserve_bytes=RESERVE_BYTES)
    recover(root, journal, SystemClock())
    journal.close()
    return 0


def plan_of(data_dir: Path) -> WorkerPlan:
    """
    What a worker is told.
    """
    return WorkerPlan(
        data_dir=data_dir,
        run_dir=data_dir / "run",
        master_key_file=data_dir / "master.key",
        node="test",
        number_country="61",
        journal_reserve_bytes=RESERVE_BYTES,
    )


def live(data_dir: Path, token: str, extension: int, how: str, at: int, told: int) -> int:
    """
    A child's life; returns its exit code.
    """
    journal_module._PROBE_SECONDS = 0.02
    fault = Fault(how, at, data_dir / "journal", told)
    place_faults(fault)
    return asyncio.run(serve(data_dir, token, extension, fault, told))


def walk(data_dir: Path, token: str, first_extension: int, how: str) -> int:
    """
    One child for each step.
    """
    settle_here = functools.partial(settle, data_dir)
    in_child(settle_here)
    for at in range(1, LONGEST_WALK):
        reading, telling = os.pipe()
        ended = in_child(functools.partial(live, data_dir, token, first_extension + 2 * at, how, at, telling))
        os.close(telling)
        with os.fdopen(reading, "rb") as pipe:
            told = pipe.read().decode().replace("}{", "}\n{").splitlines()
        found = {"at": at, "ended": ended}
        for line in told:
            found |= json.loads(line)
        sys.stdout.write(json.dumps(found) + "\n")
        if ended == NOT_MET:
            return 0
        if in_child(settle_here) != 0:
            return 1
    return 1


def in_child(act: Callable[[], int]) -> int:
    """
    Do it in a child, and tell how that ended.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = act()
        except BaseException:  # noqa: BLE001 - whatever it was, the child must not walk on as a second parent
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(walk(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]))
