"""A choice beside the fastest published shape in one sentence: measured where both were, else predicted."""

from __future__ import annotations

from phonelm.search.design import Candidate, Conventional
from phonelm.search.verification import Verification, Verified


def comparison(chosen: Candidate, other: Conventional | None, found: Verification | None = None) -> str:
    """How much faster the choice is than `other`, and at what predicted loss; empty without another."""
    if other is None:
        return ""
    fastest = other.candidate
    decode, prefill = fastest.decode_ms / chosen.decode_ms, fastest.prefill_ms / chosen.prefill_ms
    than = f"as fast as the fastest conventional shape ({other.name}'s, scaled), at a predicted loss"
    loss = (chosen.loss_percent or 0.0) - (fastest.loss_percent or 0.0)
    worth = f"{abs(loss):.2f} % {'higher' if loss > 0 else 'lower'}."
    ours, theirs = (_row(found, one) for one in (chosen, fastest))
    if ours is None or theirs is None:
        speeds = f"It is predicted to decode {decode:.2f} times and to prefill {prefill:.2f} times"
    else:
        measured_decode = theirs.measured_decode_ms / ours.measured_decode_ms
        measured_prefill = theirs.measured_prefill_ms / ours.measured_prefill_ms
        speeds = (
            f"Measured, it decodes {measured_decode:.2f} times (predicted {decode:.2f}) and prefills "
            f"{measured_prefill:.2f} times (predicted {prefill:.2f})"
        )
    return f"{speeds} {than} {worth}"


def _row(found: Verification | None, candidate: Candidate) -> Verified | None:
    rows = found.rows if found else []
    return next((row for row in rows if row.config == candidate.config), None)
