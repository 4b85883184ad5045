"""
The catalogue of refusals: every word of the contract, its status and number, and errors that hold no more than that.
"""

from __future__ import annotations

import re

import pytest

from gateway.errors import CallerError, GatewayError, OperatorError, OperatorReason, Reason, SealError, UpstreamError
from gateway.outcome import Outcome

# Contract section 4. The number beside each word is what callers may have written down: it never changes.
EXPECTED = {
    "request_malformed": (1, 400),
    "token_ambiguous": (2, 400),
    "parameter_repeated": (3, 400),
    "parameter_malformed": (4, 400),
    "token_missing": (5, 401),
    "token_malformed": (6, 401),
    "token_invalid": (7, 401),
    "upstream_key_presented": (8, 401),
    "network_not_allowed": (9, 403),
    "query_token_not_allowed": (10, 403),
    "operation_not_granted": (11, 403),
    "operation_needs_global_credential": (12, 403),
    "parameter_not_granted": (13, 403),
    "operation_unknown": (14, 404),
    "operation_not_served": (15, 404),
    "method_not_allowed": (16, 405),
    "request_timeout": (17, 408),
    "body_too_large": (18, 413),
    "target_too_long": (19, 414),
    "body_not_supported": (20, 415),
    "headers_too_large": (21, 431),
    "idempotency_in_flight": (22, 409),
    "outcome_unknown": (23, 409),
    "reply_not_kept": (24, 409),
    "idempotency_mismatch": (25, 422),
    "rate_limited": (26, 429),
    "concurrency_limited": (27, 429),
    "internal_error": (28, 500),
    "upstream_unreachable": (29, 502),
    "upstream_certificate": (30, 502),
    "upstream_broke": (31, 502),
    "upstream_redirected": (32, 502),
    "upstream_timeout": (33, 504),
    "audit_unavailable": (34, 503),
    "credential_unavailable": (35, 503),
    "snapshot_stale": (36, 503),
    "upstream_busy": (37, 503),
    "connections_exhausted": (38, 503),
    "runaway_braked": (39, 503),
    "draining": (40, 503),
    "coordination_unavailable": (41, 503),
}


def test_every_reason_has_its_number_and_status() -> None:
    """
    No more and no fewer than the contract's, and nothing renumbered.
    """
    assert EXPECTED == {each.code: (each.number, each.status) for each in Reason}


def test_no_two_reasons_share_a_word_or_a_number() -> None:
    """
    Members of an Enum with equal values would be one.
    """
    assert len(EXPECTED) == len(Reason) == len({each.number for each in Reason})


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.code)
def test_a_reason_can_be_told(reason: Reason) -> None:
    """
    A status of an error (law 7), a `Code` that is never -1, a title and a sentence of advice.
    """
    assert 400 <= reason.status <= 599
    assert -(1000 + reason.number) == reason.noojee_code < -1000
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", reason.code)
    assert reason.title
    assert reason.advice
    assert not reason.title.endswith(".")


def test_a_caller_s_error_says_what_to_do() -> None:
    """
    The reason's advice, unless the raising place knows better.
    """
    assert Reason.TOKEN_INVALID.advice == CallerError(Reason.TOKEN_INVALID).detail
    assert "Wait." == CallerError(Reason.RATE_LIMITED, "Wait.", retry_after_seconds=3).detail
    assert "token_invalid" == str(CallerError(Reason.TOKEN_INVALID))


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [
        (Outcome.NOT_SENT, "it was not sent."),
        (Outcome.ABANDONED, "it changed nothing."),
        (Outcome.UNKNOWN, "it may have been carried out: look before you repeat it."),
        (Outcome.FAILED, "it may have been carried out: look before you repeat it."),
    ],
)
def test_an_upstream_error_tells_the_call_s_fate(outcome: Outcome, fate: str) -> None:
    """
    In the words of contract section 4, after the advice or a better sentence.
    """
    advised = UpstreamError(Reason.UPSTREAM_TIMEOUT, outcome)
    detailed = UpstreamError(Reason.UPSTREAM_TIMEOUT, outcome, upstream_status=200, detail="Noojee slept.")

    assert f"{Reason.UPSTREAM_TIMEOUT.advice}; {fate}" == advised.detail
    assert f"Noojee slept; {fate}" == detailed.detail
    assert "upstream_timeout" == str(advised)


def test_outcomes_are_the_six_words_of_law_2() -> None:
    """
    As they stand in the journal.
    """
    assert {"succeeded", "refused", "failed", "not_sent", "abandoned", "unknown"} == set(Outcome)


@pytest.mark.parametrize(
    "error",
    [
        CallerError(Reason.TOKEN_INVALID),
        UpstreamError(Reason.UPSTREAM_BROKE, Outcome.UNKNOWN),
        OperatorError(OperatorReason.EXISTS, "There is one."),
        SealError("It does not open."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_all_errors_are_of_one_family(error: GatewayError) -> None:
    """
    So that an edge can tell ours from foreign ones.
    """
    assert isinstance(error, GatewayError)
