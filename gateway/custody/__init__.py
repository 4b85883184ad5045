"""
Every key at rest: the master ring, the seal that binds a Noojee key to its place, and the keys of the journal's HMACs.

The only package here that imports `cryptography`. Law 3 rests on `open_key`: no other function gives a stored key's
text, and only `gateway.upstream` calls it. `open_proxy_password` is its like for the password of a proxy.
"""

from gateway.custody.audit_key import AuditKey
from gateway.custody.cipher import find_seal_version
from gateway.custody.proxy_password import open_proxy_password, reseal_proxy_password, seal_proxy_password
from gateway.custody.ring import Ring
from gateway.custody.sealing import open_key, reseal_key, seal_key
from gateway.errors import SealError

__all__ = [
    "AuditKey",
    "Ring",
    "SealError",
    "find_seal_version",
    "open_key",
    "open_proxy_password",
    "reseal_key",
    "reseal_proxy_password",
    "seal_key",
    "seal_proxy_password",
]
