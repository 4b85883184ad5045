"""
The worker's own socket, over which a verb says which version it has committed and waits until that is in force.

One line each way: the registry's version as decimal text; or `ring` and a version of the master key, to ask whether we
have it; or `readiness` and `metrics`, with which the control plane asks how we are, answered with JSON. Only the
effective user's processes are heard: the file is 0600 and the peer's uid is asked of the kernel where it can tell.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from gateway.run_folder import ASK_METRICS, ASK_READINESS, bind_private, is_own_peer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.custody import Ring
    from gateway.data_plane.snapshots import Snapshots
    from gateway.metrics.samples import Samples
    from gateway.readiness import Readiness

__all__ = ["ListeningPost"]

_LINE_LIMIT_BYTES = 32


class ListeningPost:
    """
    Listens on `<run_dir>/<stream>.sock`.
    """

    def __init__(
        self,
        path: Path,
        snapshots: Snapshots,
        ring: Ring,
        *,
        readiness: Callable[[], Readiness],
        metrics: Callable[[], Samples],
    ) -> None:
        self._path = path
        self._snapshots = snapshots
        self._ring = ring
        self._readiness = readiness
        self._metrics = metrics
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """
        Listen. A file left behind by a dead worker is replaced: whoever holds the stream's lock owns the name.

        Raises:
            OperatorError: `data_dir_unusable` for a path too long for a socket or a folder that cannot be used.
        """
        listener = bind_private(self._path)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=_LINE_LIMIT_BYTES)

    async def close(self) -> None:
        """
        Stop listening and remove the file: nobody listening means that no gateway runs.
        """
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if is_own_peer(writer.get_extra_info("socket")):
                line = await reader.readline()
                if line == ASK_READINESS:
                    writer.write(self._readiness().render())
                elif line == ASK_METRICS:
                    writer.write(self._metrics().render())
                elif line.endswith(b"\n") and await self._is_in_force(line[:-1]):
                    writer.write(line)
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # a verb that went away, or a line that is none
        finally:
            writer.close()

    async def _is_in_force(self, words: bytes) -> bool:
        what, _, version = words.rpartition(b" ")
        if not version.isdigit():
            return False
        if what == b"ring":
            return self._ring.has_version(int(version))
        return not what and await self._snapshots.refresh(int(version))
