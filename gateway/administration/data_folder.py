"""
What must be true of files and ports before a verb or `serve` touches anything.

Each check raises one `OperatorError` whose sentence says what to do. Nothing is repaired silently: a folder that is
made, given away or opened up by accident is how keys get lost or read.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gateway.errors import OperatorError, OperatorReason
from gateway.size import render_size

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

    from gateway.settings.model import Settings

__all__ = [
    "ServingLock",
    "check_data_folder",
    "check_listening",
    "check_new_data_folder",
    "check_reserve",
    "check_run_dir",
    "create_tls_context",
    "find_file_system",
    "lock_serving",
    "read_run_dir",
]

_MOUNT_TABLE = Path("/proc/self/mountinfo")
# Neither locks nor a durable write can be relied on there: two gateways could hold one stream, and law 1 would be void.
_REMOTE_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "virtiofs"})
_SOCKET_PATH_LIMIT = 100
"""
Bytes of a socket's path: 108 on Linux and 104 on macOS (sun_path in unix(7)), the closing NUL included.
"""


def check_data_folder(data_dir: Path, *, mount_table: Path = _MOUNT_TABLE) -> None:
    """
    Refuses a data folder that is missing, not ours, on a remote file system, or that shows its keys to others.

    Raises:
        OperatorError: `data_dir_unusable` or `key_file_unsafe`.
    """
    try:
        found = data_dir.stat()
    except FileNotFoundError:
        _refuse_folder(
            f"The data folder {data_dir} does not exist. Make it with `noojee-gateway init`, or set GATEWAY_DATA_DIR."
        )
    except OSError as error:
        _refuse_folder(f"The data folder {data_dir} cannot be read: {error.strerror}. {_advise_owner(data_dir)}")
    if not stat.S_ISDIR(found.st_mode):
        _refuse_folder(f"{data_dir} is not a folder. Set GATEWAY_DATA_DIR to the data folder.")
    _check_file_system(data_dir, mount_table)
    if (data_dir / "journal").exists():  # it may be a file system of its own
        _check_file_system(data_dir / "journal", mount_table)
    if found.st_uid != os.geteuid():
        _refuse_folder(f"The data folder {data_dir} belongs to {_name_user(found.st_uid)}. {_advise_owner(data_dir)}")
    _check_keys(data_dir)


def check_new_data_folder(data_dir: Path, *, mount_table: Path = _MOUNT_TABLE) -> None:
    """
    The same for `init`, to which a folder may be missing: then the nearest one above it must be usable.

    Raises:
        OperatorError: `data_dir_unusable` or `key_file_unsafe`.
    """
    if data_dir.exists():
        check_data_folder(data_dir, mount_table=mount_table)
    else:
        _check_file_system(data_dir, mount_table)


def check_run_dir(run_dir: Path) -> None:
    """
    Refuses a folder whose path is too long for the sockets in it.

    Raises:
        OperatorError: `settings_invalid`.
    """
    if len(os.fsencode(run_dir / "worker-000.sock")) > _SOCKET_PATH_LIMIT:
        raise OperatorError(
            OperatorReason.SETTINGS_INVALID,
            f"The path of the run folder {run_dir} is too long for a socket. Set GATEWAY_RUN_DIR to a short path, "
            "as in /run/noojee-gateway.",
        )


def check_reserve(data_dir: Path, reserve_bytes: int) -> None:
    """
    Refuses a reserve that the journal's disk could not hold if it were empty, so that no call could ever be made.

    One that does not fit now is no start error: the gateway refuses calls and says so until there is room.

    Raises:
        OperatorError: `settings_invalid`.
    """
    journal = data_dir / "journal"
    try:
        found = os.statvfs(journal if journal.exists() else data_dir)
    except OSError:
        return  # opening the journal will tell
    if reserve_bytes >= found.f_blocks * found.f_frsize:
        raise OperatorError(
            OperatorReason.SETTINGS_INVALID,
            f"GATEWAY_JOURNAL_RESERVE, {render_size(reserve_bytes)}, is more than the journal's disk has at all. Set "
            "it to about 2KiB for each call that may be under way at once, or give the journal a larger disk.",
        )


def find_file_system(path: Path, mount_table: str) -> str | None:
    """
    The type of the file system that a path is on; None when the table tells nothing.

    `mount_table` is the text of a `mountinfo` (proc_pid_mountinfo(5)). The mount point that is the longest prefix
    counts, and of two at the same place the later, which hides the other.
    """
    found: tuple[int, str] | None = None
    for line in mount_table.splitlines():
        before, _, after = line.partition(" - ")
        fields, types = before.split(" "), after.split(" ")
        if len(fields) < 5 or not types[0]:  # noqa: PLR2004 - the fifth field is the mount point
            continue
        mount_point = Path(_unescape(fields[4]))
        if path.is_relative_to(mount_point) and (found is None or len(mount_point.parts) >= found[0]):
            found = (len(mount_point.parts), types[0])
    return found[1] if found else None


def check_listening(settings: Settings, inherited_host: str | None = None) -> None:
    """
    Refuses to listen beyond loopback in plain text, and TLS files that cannot serve.

    Args:
        settings: Where to listen, and with what.
        inherited_host: Where a socket listens that is used instead of GATEWAY_HOST.

    Raises:
        OperatorError: `plaintext_refused` or `tls_unusable`.
    """
    if create_tls_context(settings) is not None or settings.allow_plaintext:
        return
    callers = ("GATEWAY_HOST", settings.host)
    if inherited_host is not None:
        callers = ("The address of the socket from LISTEN_FDS", inherited_host)
    for name, host in (callers, ("GATEWAY_ADMIN_HOST", settings.admin_host)):
        if not ipaddress.ip_address(host).is_loopback:
            raise OperatorError(
                OperatorReason.PLAINTEXT_REFUSED,
                f"{name} is {host}, where tokens would cross the network in plain text. Set GATEWAY_TLS_CERT_FILE and "
                "GATEWAY_TLS_KEY_FILE, or GATEWAY_ALLOW_PLAINTEXT=yes where something before the gateway speaks TLS.",
            )


def create_tls_context(settings: Settings) -> ssl.SSLContext | None:
    """
    What both ports speak TLS with (1.2 or newer); None when no certificate is set.

    Raises:
        OperatorError: `tls_unusable`.
    """
    cert_file, key_file = settings.tls_cert_file, settings.tls_key_file
    if cert_file is None and key_file is None:
        return None
    if cert_file is None or key_file is None:
        name = "GATEWAY_TLS_CERT_FILE" if cert_file is None else "GATEWAY_TLS_KEY_FILE"
        raise OperatorError(OperatorReason.TLS_UNUSABLE, f"{name} is not set. Set both TLS files, or neither.")
    from gateway.tls import load_tls  # `ssl` is nothing that a verb needs

    return load_tls(cert_file, key_file)


class ServingLock:
    """
    The sole right to serve from a data folder, held until closed or until the process ends, however it ends.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor: int | None = descriptor
        self._path = path

    @property
    def descriptor(self) -> int:
        """
        What holds it: whoever is handed this holds it too.
        """
        if self._descriptor is None:
            raise ValueError("the right to serve was given up")
        return self._descriptor

    def close(self) -> None:
        """
        Gives the right up. The file stays: a lock on a file that was replaced would be no lock.
        """
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ServingLock {self._path}, {'held' if self._descriptor is not None else 'given up'}>"


def read_run_dir(data_dir: Path) -> Path | None:
    """
    The run folder of whoever serves from a data folder, as it stands in the lock file; None when nobody does.
    """
    try:
        descriptor = os.open(data_dir / "serve.lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        told = os.read(descriptor, 4096)
        return Path(os.fsdecode(told)) if told else None
    else:
        return None
    finally:
        os.close(descriptor)


def lock_serving(data_dir: Path, run_dir: Path | None = None) -> ServingLock:
    """
    Takes the lock on `<data>/serve.lock` without waiting. Call it after any fork: a child would hold it too.

    Args:
        run_dir: Where the workers will be told of changes: a verb with another setting finds it here.

    Raises:
        OperatorError: `already_running`, or `data_dir_unusable` when the file cannot be opened.
    """
    path = data_dir / "serve.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        _refuse_folder(f"{path} cannot be opened: {error.strerror}.")
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperatorError(
                OperatorReason.ALREADY_RUNNING,
                f"Another `noojee-gateway serve` runs on {data_dir}. Stop it first, or set GATEWAY_DATA_DIR to another "
                "folder.",
            ) from None
        os.ftruncate(descriptor, 0)
        if run_dir is not None:
            os.pwrite(descriptor, os.fsencode(run_dir.absolute()), 0)
        stack.pop_all()
    return ServingLock(descriptor, path)


def _check_file_system(path: Path, mount_table: Path) -> None:
    try:
        text = mount_table.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return  # macOS has no such table; what cannot be known is not refused
    kind = find_file_system(path.resolve(), text)
    if kind is not None and (kind in _REMOTE_FILE_SYSTEMS or kind.startswith("fuse")):
        _refuse_folder(
            f"The folder {path} is on a {kind} file system, where a write may be lost and a lock may not hold. "
            "Set GATEWAY_DATA_DIR to a folder on a local disk, with its journal on one, too."
        )


def _check_keys(data_dir: Path) -> None:
    for path in sorted(data_dir.glob("*.key")):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise OperatorError(
                OperatorReason.KEY_FILE_UNSAFE,
                f"{path} can be read or written by others. Run `chmod 600 {path}`, and replace the keys if someone may "
                "have read it.",
            )


def _advise_owner(data_dir: Path) -> str:
    """
    The command that helps: the service's own user, or, when we are that user, to be given the folder.
    """
    try:
        owner = data_dir.stat().st_uid
    except OSError:
        owner = 0
    if owner != 0:
        import shlex

        return f"Run the command as that user: `sudo -u {shlex.quote(_name_user(owner))} noojee-gateway ...`."
    user = _name_user(os.geteuid())
    return f"If it is meant for {user}, give it away: `sudo chown -R {user.removeprefix('#')} {data_dir}`."


def _name_user(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"#{user_id}"  # sudo takes this form


def _refuse_folder(detail: str) -> NoReturn:
    raise OperatorError(OperatorReason.DATA_DIR_UNUSABLE, detail)


def _unescape(field: str) -> str:
    # "\040" and the like stand for space, tab, newline and backslash.
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
