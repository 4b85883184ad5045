"""
nginx twice: as the Noojee that answers, and as the equivalent gateway. Their configurations are in nginx/.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import socket
import ssl
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.children import running, wait_for
from benchmarks.machine import find_free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.children import Child
    from benchmarks.process_tree import ProcessTree

__all__ = ["Upstream", "answers", "nginx_gateway", "nginx_upstream", "parse_request_count"]

_TEMPLATES = Path(__file__).parent / "nginx"
_READY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Upstream:
    """
    A Noojee that runs.

    Attributes:
        ca_file: What to trust.
        key: The API key that callers of it are thought to need; it looks at none.
        tree: All its processes.
    """

    port: int
    ca_file: Path
    key: str
    tree: ProcessTree

    @property
    def url(self) -> str:
        """
        Its origin.
        """
        return f"https://127.0.0.1:{self.port}"

    def count_requests(self) -> int:
        """
        How many requests it had up to now, this question among them.
        """
        context = ssl.create_default_context(cafile=str(self.ca_file))
        with urllib.request.urlopen(f"{self.url}/requests", context=context, timeout=10) as answer:
            return parse_request_count(answer.read().decode())


def parse_request_count(text: str) -> int:
    """
    The third number under nginx's `server accepts handled requests`.
    """
    _, _, numbers = text.partition("server accepts handled requests")
    return int(numbers.split()[2])


@contextlib.contextmanager
def nginx_upstream(
    nginx: str, folder: Path, *, core: int, certificates: Mapping[str, str], key: str
) -> Iterator[Upstream]:
    """
    The Noojee of the benchmark, over TLS 1.3.
    """
    port = find_free_port()
    words = {"PORT": str(port), "CERTIFICATE": certificates["server_file"], "KEY": certificates["server_key_file"]}
    with _nginx(nginx, folder, "upstream.conf", words, core=core, port=port) as child:
        yield Upstream(port, Path(certificates["ca_file"]), key, child.tree)


@contextlib.contextmanager
def nginx_gateway(
    nginx: str, folder: Path, *, core: int, upstream: Upstream, tokens: list[str]
) -> Iterator[tuple[int, Child]]:
    """
    The equivalent gateway before that Noojee, for these tokens. Gives its port.
    """
    port = find_free_port()
    folder.mkdir(exist_ok=True)
    lines = (f'"Bearer {token}" "{upstream.key}";\n' for token in tokens)
    (folder / "tokens.map").write_text("".join(lines))
    words = {"PORT": str(port), "UPSTREAM_PORT": str(upstream.port), "CA": str(upstream.ca_file)}
    with _nginx(nginx, folder, "gateway.conf", words, core=core, port=port) as child:
        yield port, child


@contextlib.contextmanager
def _nginx(
    nginx: str, folder: Path, template: str, words: Mapping[str, str], *, core: int, port: int
) -> Iterator[Child]:
    folder.mkdir(exist_ok=True)
    text = (_TEMPLATES / template).read_text()
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    for word, value in {**words, "FOLDER": str(folder), "USER": user, "GROUP": group, "FILES": _file_limit()}.items():
        text = text.replace(f"@{word}@", value)
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    command: list[str | Path] = [nginx, "-p", folder, "-c", configuration, "-e", folder / "error.log"]
    with running(command, core=core, log=folder / "output.log") as child:
        wait_for(lambda: answers(port), f"nginx listens on {port}: see {folder}/error.log", _READY_SECONDS)
        yield child


def _file_limit() -> str:
    import resource

    return str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def answers(port: int) -> bool:
    """
    Whether somebody takes connections on a port of the loopback.
    """
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
