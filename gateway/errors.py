"""
Every error of ours, in one hierarchy and one catalogue.

`Reason` is the catalogue of refusals that a caller can meet (contract section 4): each has a stable word, a fixed
number for Noojee's `Code`, a status >= 400 (law 7), a title and a sentence of advice. Numbers and words are never used
again for something else. Errors that an operator meets at the command line carry an `OperatorReason` instead.

No error text holds a secret, an upstream's body or a foreign exception's text.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.outcome import Outcome

__all__ = [
    "EXIT_UNEXPECTED",
    "CallerError",
    "GatewayError",
    "OperatorError",
    "OperatorReason",
    "Reason",
    "SealError",
    "StorageError",
    "UpstreamError",
]

EXIT_UNEXPECTED = 70
"""The exit code for an error of ours: EX_SOFTWARE in sysexits(3)."""


class Reason(Enum):
    """
    Why a call is refused or could not be completed.

    Each member: `code` (the word on the wire and in the journal), `number` (n of `Code` = -(1000 + n)), `status`
    (HTTP), `title` (constant text), `advice` (what to do; the `detail` when the raising place knows nothing better).
    """

    code: str
    number: int
    status: int
    title: str
    advice: str

    def __init__(self, code: str, number: int, status: int, title: str, advice: str) -> None:
        self.code = code
        self.number = number
        self.status = status
        self.title = title
        self.advice = advice

    REQUEST_MALFORMED = (
        "request_malformed",
        1,
        400,
        "The request is malformed",
        "Send a well-formed HTTP/1.1 request; it was not forwarded.",
    )
    TOKEN_AMBIGUOUS = (
        "token_ambiguous",
        2,
        400,
        "Two different tokens were presented",
        "Send one token, in one place.",
    )
    PARAMETER_REPEATED = (
        "parameter_repeated",
        3,
        400,
        "A parameter is repeated",
        "Give each parameter once, in the query or in the form body.",
    )
    PARAMETER_MALFORMED = (
        "parameter_malformed",
        4,
        400,
        "A parameter is malformed",
        "Percent-encode parameters as UTF-8, without control characters, with their names spelt as Noojee spells them.",
    )
    TOKEN_MISSING = (
        "token_missing",
        5,
        401,
        "No token was presented",
        "Send the token that the operator issued to you: Authorization: Bearer, X-API-Key, or apiKey in the query.",
    )
    TOKEN_MALFORMED = (
        "token_malformed",
        6,
        401,
        "The token is malformed",
        "Check that the whole token was copied; it starts with njg_.",
    )
    TOKEN_INVALID = (
        "token_invalid",
        7,
        401,
        "The token is not valid",
        "Ask the gateway's operator for a new token.",
    )
    UPSTREAM_KEY_PRESENTED = (
        "upstream_key_presented",
        8,
        401,
        "A Noojee API key was presented instead of a local token",
        "Take the Noojee key out of your configuration and use a token issued by the gateway's operator.",
    )
    NETWORK_NOT_ALLOWED = (
        "network_not_allowed",
        9,
        403,
        "The caller may not call from this network",
        "Call from an allowed network, or ask the gateway's operator to allow this one.",
    )
    QUERY_TOKEN_NOT_ALLOWED = (
        "query_token_not_allowed",
        10,
        403,
        "The caller may not present its token in the query",
        "Send the token in the Authorization or X-API-Key header.",
    )
    OPERATION_NOT_GRANTED = (
        "operation_not_granted",
        11,
        403,
        "No grant covers this operation",
        "Ask the gateway's operator for a grant.",
    )
    OPERATION_NEEDS_GLOBAL_CREDENTIAL = (
        "operation_needs_global_credential",
        12,
        403,
        "This operation needs a global credential",
        "A user credential reaches campaign operations only; ask the gateway's operator for a grant with a global one.",
    )
    PARAMETER_NOT_GRANTED = (
        "parameter_not_granted",
        13,
        403,
        "A parameter is outside what is granted",
        "Use a value that the grant allows, or ask the gateway's operator to widen it.",
    )
    OPERATION_UNKNOWN = (
        "operation_unknown",
        14,
        404,
        "There is no such operation",
        "Use the path exactly as Noojee's documentation writes it; `noojee-gateway operations` lists them.",
    )
    OPERATION_NOT_SERVED = (
        "operation_not_served",
        15,
        404,
        "This operation is not served",
        "The gateway does not forward this operation.",
    )
    METHOD_NOT_ALLOWED = ("method_not_allowed", 16, 405, "Only POST is served", "Send POST.")
    REQUEST_TIMEOUT = (
        "request_timeout",
        17,
        408,
        "The request did not arrive in time",
        "Send the whole request without pausing; it was not forwarded.",
    )
    BODY_TOO_LARGE = ("body_too_large", 18, 413, "The body is too large", "Send at most 1 MiB.")
    TARGET_TOO_LONG = (
        "target_too_long",
        19,
        414,
        "The request line is too long",
        "Send at most 16 KiB, or use a form body.",
    )
    BODY_NOT_SUPPORTED = (
        "body_not_supported",
        20,
        415,
        "This kind of body is not supported",
        "Send a form, or JSON where the operation takes it; in UTF-8, not compressed, not multipart.",
    )
    HEADERS_TOO_LARGE = ("headers_too_large", 21, 431, "The headers are too large", "Send at most 32 KiB of headers.")
    IDEMPOTENCY_IN_FLIGHT = (
        "idempotency_in_flight",
        22,
        409,
        "The same request is still under way",
        "Wait for the first to end.",
    )
    OUTCOME_UNKNOWN = (
        "outcome_unknown",
        23,
        409,
        "What became of the first request is not known",
        "Look before you repeat it.",
    )
    REPLY_NOT_KEPT = (
        "reply_not_kept",
        24,
        409,
        "The first request's reply was not kept",
        "Look it up in Noojee.",
    )
    IDEMPOTENCY_MISMATCH = (
        "idempotency_mismatch",
        25,
        422,
        "The idempotency key was used for another request",
        "Use a new key for a new request.",
    )
    RATE_LIMITED = ("rate_limited", 26, 429, "Too many calls", "Wait as long as Retry-After says.")
    CONCURRENCY_LIMITED = (
        "concurrency_limited",
        27,
        429,
        "Too many calls at once",
        "Wait for a running call to end.",
    )
    INTERNAL_ERROR = (
        "internal_error",
        28,
        500,
        "The gateway made an error",
        "Tell the gateway's operator the request id.",
    )
    UPSTREAM_UNREACHABLE = (
        "upstream_unreachable",
        29,
        502,
        "Noojee could not be reached",
        "Try again later, or tell the gateway's operator",
    )
    UPSTREAM_CERTIFICATE = (
        "upstream_certificate",
        30,
        502,
        "Noojee's certificate is not trusted",
        "Tell the gateway's operator to check the upstream's certificate and --ca-file",
    )
    UPSTREAM_BROKE = (
        "upstream_broke",
        31,
        502,
        "Noojee's reply was broken or cut short",
        "No whole reply came",
    )
    UPSTREAM_REDIRECTED = (
        "upstream_redirected",
        32,
        502,
        "Noojee answered with a redirect, which is never followed",
        "Tell the gateway's operator to check the upstream's URL",
    )
    UPSTREAM_TIMEOUT = (
        "upstream_timeout",
        33,
        504,
        "Noojee did not answer in time",
        "No reply came in time",
    )
    AUDIT_UNAVAILABLE = (
        "audit_unavailable",
        34,
        503,
        "The audit journal cannot be written",
        "Nothing was sent. Try again later; the gateway's operator must look at the journal's disk.",
    )
    CREDENTIAL_UNAVAILABLE = (
        "credential_unavailable",
        35,
        503,
        "The credential for this call is not available",
        "Ask the gateway's operator; it was revoked, removed, or needs to be entered again.",
    )
    SNAPSHOT_STALE = (
        "snapshot_stale",
        36,
        503,
        "The gateway's registry has not been read for too long",
        "Nothing was sent. The gateway's operator must look at the control plane.",
    )
    UPSTREAM_BUSY = ("upstream_busy", 37, 503, "Too many calls wait for Noojee", "Nothing was sent. Try again later.")
    CONNECTIONS_EXHAUSTED = (
        "connections_exhausted",
        38,
        503,
        "The gateway has no connection left",
        "Nothing was sent. Try again later.",
    )
    RUNAWAY_BRAKED = (
        "runaway_braked",
        39,
        503,
        "The caller repeats itself too fast",
        "Wait as long as Retry-After says.",
    )
    DRAINING = ("draining", 40, 503, "The gateway is stopping", "Try again in a few seconds")
    COORDINATION_UNAVAILABLE = (
        "coordination_unavailable",
        41,
        503,
        "The nodes cannot agree",
        "Nothing was sent. Try again later.",
    )

    @property
    def noojee_code(self) -> int:
        """
        The `Code` that Noojee's clients read: -(1000 + n), never -1, which to them means an expired hash pair.
        """
        return -(1000 + self.number)


class OperatorReason(StrEnum):
    """
    Why a verb or a start was refused: the `reason` of `{"error": {"reason", "detail"}}`.
    """

    USAGE = "usage"
    INVALID = "invalid"
    NOT_FOUND = "not_found"
    EXISTS = "exists"
    IN_USE = "in_use"
    SETTINGS_INVALID = "settings_invalid"
    DATA_DIR_UNUSABLE = "data_dir_unusable"
    KEY_FILE_UNSAFE = "key_file_unsafe"
    KEY_FILE_READ_ONLY = "key_file_read_only"
    MASTER_KEY_UNUSABLE = "master_key_unusable"
    SCHEMA_UNKNOWN = "schema_unknown"
    PLAINTEXT_REFUSED = "plaintext_refused"
    ALREADY_RUNNING = "already_running"
    PORT_UNAVAILABLE = "port_unavailable"
    TLS_UNUSABLE = "tls_unusable"
    REGISTRY_UNAVAILABLE = "registry_unavailable"
    JOURNAL_UNAVAILABLE = "journal_unavailable"
    JOURNAL_BUSY = "journal_busy"
    NOT_ACKNOWLEDGED = "not_acknowledged"
    NOT_RUNNING = "not_running"
    RESTART_FAILED = "restart_failed"
    INTERNAL = "internal"


class GatewayError(Exception):
    """
    The root of our errors; never raised itself.
    """


class CallerError(GatewayError):
    """
    The caller must change the request, wait, or ask the operator; nothing was sent for it.

    Args:
        reason: The catalogue's entry.
        detail: What happened and what to do, when more is known than the reason's advice. Holds nothing the caller sent
            but names of parameters.
        retry_after_seconds: For `Retry-After`, when waiting helps.
    """

    def __init__(self, reason: Reason, detail: str | None = None, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.detail = detail if detail is not None else reason.advice
        self.retry_after_seconds = retry_after_seconds


class UpstreamError(GatewayError):
    """
    The call did not come back whole from Noojee.

    Args:
        reason: `upstream_*`, `credential_unavailable`, or `draining` when we ended it ourselves.
        outcome: What is known of its fate: `not_sent` when proven, `unknown` when sent without a full answer,
            `failed` for a complete redirect, `abandoned` for a read that we ended.
        upstream_status: The status line, when one arrived.
        detail: A sentence without full stop, in place of the reason's advice; the fate is added to it.
    """

    def __init__(
        self, reason: Reason, outcome: Outcome, *, upstream_status: int | None = None, detail: str | None = None
    ) -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.outcome = outcome
        self.upstream_status = upstream_status
        self.detail = f"{(detail or reason.advice).rstrip('.')}; {outcome.fate}."

    def again(self) -> UpstreamError:
        """
        The same for somebody else whom it met: an exception that many share would collect all their tracebacks.
        """
        same = UpstreamError(self.reason, self.outcome, upstream_status=self.upstream_status)
        same.detail = self.detail
        return same


class StorageError(GatewayError):
    """
    The journal or the registry could not be written or read. The detail names a file and an errno, never contents.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class SealError(GatewayError):
    """
    A sealed key does not open: it was moved, altered, or sealed under a ring that is not ours. Never says what it held.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class OperatorError(GatewayError):
    """
    The operator must change settings, files or the command.

    Args:
        reason: The stable word.
        detail: What happened and what to do, a sentence or two without any secret.
    """

    def __init__(self, reason: OperatorReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
