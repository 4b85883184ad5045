"""
The keys of the journal's HMACs, and the keyed fingerprint by which a Noojee key is recognised at our door.

`audit.key` is a text file like the ring's, each version sealed under the ring. It is no secret of Noojee's, but who has
it can guess his way through telephone numbers in the journal; so it is useless without the ring, and each caller's
values are marked with a key of the caller's own: nobody fills a dictionary through a caller of his own.

A new master key seals the versions that there are anew and makes none: marks on the journal stay comparable.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway import durable
from gateway.custody.cipher import find_seal_version, open_bytes, render_context, seal_bytes
from gateway.custody.key_file import KeyFileFormatError, create_key_file, parse_versions, read_key_file, render_versions
from gateway.custody.replacement import check_replaceable, replace_key_file
from gateway.errors import OperatorError, OperatorReason, SealError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gateway.custody.ring import Ring

__all__ = ["AuditKey"]

_LABEL = "noojee-gateway audit key"
_KEY_BYTES = 32


class AuditKey:
    """
    All versions of the HMAC key. Safe for use by several threads; shows no key.

    Args:
        versions: 32 bytes by version, at least one. The highest marks values in new records; the lowest marks
            fingerprints, because those in the registry must stay comparable when a version is added.
    """

    def __init__(self, versions: Mapping[int, bytes]) -> None:
        self._newest = versions[max(versions)]
        self._fingerprint_key = _derive(versions[min(versions)], b"upstream key fingerprint")
        self._by_caller: dict[str, bytes] = {}
        self.key_id = str(max(versions))

    @classmethod
    def create(cls, path: Path, ring: Ring) -> AuditKey:
        """
        Make a key of one version in a new file, 0600, on disk when this returns.

        Raises:
            FileExistsError: The name is taken; a key is never replaced.
            OperatorError: `data_dir_unusable`: it cannot be written.
        """
        versions = {1: secrets.token_bytes(_KEY_BYTES)}
        try:
            create_key_file(path, _seal(versions, ring))
        except FileExistsError:
            raise
        except OSError as error:
            raise OperatorError(
                OperatorReason.DATA_DIR_UNUSABLE, f"{path} cannot be written: {durable.describe(error)}."
            ) from None
        return cls(versions)

    @classmethod
    def load(cls, path: Path, ring: Ring) -> AuditKey:
        """
        Read the key and open it with the ring. That it opens is also the proof that the ring is this installation's.

        Raises:
            OperatorError: `master_key_unusable` when it is missing, malformed or does not open, `key_file_unsafe` when
                others can read it.
        """
        return cls(_open(path, ring))

    @staticmethod
    def reseal(path: Path, ring: Ring) -> None:
        """
        Seal every version in a key's file under the ring's newest version; on disk when this returns. The keys stay.

        Atomic, can be repeated; one process at a time. Whoever has loaded the key need not load it again.

        Raises:
            OperatorError: As `load`; `key_file_read_only`, or `data_dir_unusable` when it cannot be written.
        """
        check_replaceable(path)
        try:
            replace_key_file(path, _seal(_open(path, ring), ring))
        except OSError as error:
            raise OperatorError(
                OperatorReason.DATA_DIR_UNUSABLE,
                f"{path} cannot be written: {durable.describe(error)}. Nothing is lost; look at its disk, then repeat "
                "the command.",
            ) from None

    @staticmethod
    def find_seal_versions(path: Path) -> frozenset[int]:
        """
        The versions of the ring under which a key's file is sealed.

        Raises:
            OperatorError: As `load`.
        """
        with _translate_errors(path, None):
            return frozenset(find_seal_version(sealed) for sealed in parse_versions(read_key_file(path)).values())

    def for_caller(self, caller_name: str) -> bytes:
        """
        The 32 bytes that mark this caller's sensitive values. Call it with names of the registry only: each is kept.
        """
        key = self._by_caller.get(caller_name)
        if key is None:
            key = self._by_caller[caller_name] = _derive(self._newest, b"caller " + caller_name.encode())
        return key

    def fingerprint(self, api_key_text: str) -> bytes:
        """
        The mark, 32 bytes, by which a Noojee key is recognised without being kept. Any text, of any length.
        """
        return hmac.digest(self._fingerprint_key, api_key_text.encode(errors="surrogatepass"), hashlib.sha256)

    def __repr__(self) -> str:
        return f"<AuditKey {self.key_id}>"


def _derive(key: bytes, purpose: bytes) -> bytes:
    # RFC 5869 without salt: the input is 32 random bytes already. "caller x" and the fingerprint's label never meet.
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"noojee-gateway " + purpose).derive(key)


def _seal(versions: Mapping[int, bytes], ring: Ring) -> str:
    return render_versions({version: seal_bytes(ring, key, _context(version)) for version, key in versions.items()})


def _open(path: Path, ring: Ring) -> dict[int, bytes]:
    with _translate_errors(path, ring):
        sealed = parse_versions(read_key_file(path))
        return {version: open_bytes(ring, each, _context(version)) for version, each in sealed.items()}


@contextlib.contextmanager
def _translate_errors(path: Path, ring: Ring | None) -> Iterator[None]:
    try:
        yield
    except KeyFileFormatError as error:
        raise OperatorError(
            OperatorReason.MASTER_KEY_UNUSABLE, f"{path} is malformed: {error}. Restore it from your backup."
        ) from None
    except SealError as error:
        which = f"The master key {ring.path}" if ring is not None else "The master key"
        raise OperatorError(
            OperatorReason.MASTER_KEY_UNUSABLE,
            f"{which} does not open {path}: {error.detail}. Set GATEWAY_MASTER_KEY_FILE to the master key that this "
            "data folder was made with, or restore both files from the same backup.",
        ) from None


def _context(version: int) -> bytes:
    return render_context((_LABEL, str(version)))
