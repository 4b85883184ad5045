"""
Everything that a program wrote anywhere, gathered by place, to be searched.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from installation import Response

__all__ = ["Outputs"]


class Outputs:
    """
    Places and what was found there. A place is read when it is added: what a file holds later is another output.
    """

    def __init__(self) -> None:
        self._found: list[tuple[str, bytes, frozenset[str]]] = []

    def __iter__(self) -> Iterator[tuple[str, bytes, frozenset[str]]]:
        """
        Each place, its bytes, and the names of the secrets that may show there.
        """
        return iter(self._found)

    @property
    def places(self) -> list[str]:
        """
        All of them, in the order in which they were added.
        """
        return [place for place, _, _ in self._found]

    def add(self, place: str, data: str | bytes, *, allowed: Collection[str] = ()) -> None:
        """
        What was found at a place.
        """
        data = data.encode(errors="surrogateescape") if isinstance(data, str) else data
        self._found.append((place, data, frozenset(allowed)))

    def add_response(self, place: str, response: Response) -> None:
        """
        Headers and body of what came down.
        """
        head = "".join(f"{name}: {value}\n" for name, value in response.headers.items())
        self.add(f"reply to {place}", head.encode() + response.body)

    def add_files(self, folder: Path, *, aside: Collection[Path] = ()) -> None:
        """
        The names of all that is in a folder, and what files hold, but for those that are kept aside.
        """
        for path in sorted(folder.rglob("*")):
            if path not in aside:
                self.add(f"file {path}", path.read_bytes() if path.is_file() else b"")

    def add_process(self, name: str, pid: int) -> None:
        """
        What other processes can see of a running one. Nothing where there is no /proc.
        """
        process = Path(f"/proc/{pid}")
        for what in ("cmdline", "environ", "comm"):
            if (process / what).exists():
                self.add(f"{what} of {name}", (process / what).read_bytes())
        if (process / "fd").exists():
            self.add(f"open files of {name}", "\n".join(sorted(_read_links(process / "fd"))))
        if (process / "net" / "unix").exists():
            self.add(f"sockets beside {name}", (process / "net" / "unix").read_bytes())

    def add_error(self, place: str, error: BaseException) -> None:
        """
        All that can be printed of an exception and of those behind it, hidden ones too, but for local variables.
        """
        texts = traceback.format_exception(error)
        met: list[BaseException] = [error]
        for each in met:  # grows as it goes
            texts += [str(each), repr(each), repr(each.args), repr(getattr(each, "__notes__", ""))]
            met += [behind for behind in (each.__cause__, each.__context__) if behind is not None and behind not in met]
        self.add(f"exception from {place}", "\n".join(texts))


def _read_links(folder: Path) -> Iterator[str]:
    for name in os.listdir(folder):  # noqa: PTH208 - names are all that is needed, and they come and go
        try:
            yield os.readlink(folder / name)  # noqa: PTH115 - the same
        except OSError:
            continue
