"""The audit of an evidence bundle as a document."""

from typing import Any

from insignia.evidence.bundle import Audited
from insignia.evidence.standard import Standard
from insignia.reporting.base import Document, Table
from insignia.reporting.caveats import COMPARE, NO_CONTROL, REPLIES, about_choice, about_fitting
from insignia.reporting.verdicts import control_lines, request_rows
from insignia.verification.wording import explain_p_value

__all__ = ["audit_report"]

_SOURCES = {
    "design": "by design: the secret drew each response from committed candidates",
    "reference": "reference: the limit measured on innocent models, if hits do not come in runs",
    "declared": "declared: the owner's word, if hits do not come in runs",
}


def audit_report(found: Audited, name: str, *, stamped: str | None, standard: Standard, published: bool) -> Document:
    """What the bundle of that name comes to.

    ``stamped`` is when an authority stamped the commitment; ``published``: the commitment is the published one, not the
    bundle's own.
    """
    title = f"{name}: everything holds"
    lines = [*control_lines(found.verdict), *_sentences(found)]
    if not published:
        lines.append(COMPARE)
    table = Table.of(title, ("", ""), _rows(found, stamped, standard))
    return Document(title, (table, *lines), _data(found, stamped, standard))


def _data(found: Audited, stamped: str | None, standard: Standard) -> dict[str, Any]:
    """The verdict by the owner's rules, with the outcome and p-value of whoever audits."""
    signed, judgement = found.bundle.commitment, found.judgement
    about = {
        "outcome": judgement.outcome,
        "p_value": judgement.p_value,
        "reasons": list(judgement.reasons),
        "sentence": " ".join(_sentences(found)),
        "claimed": found.bundle.claim.model_dump(mode="json"),
        "standard": standard.model_dump(mode="json"),
        "root": signed.commitment.root,
        "chain": signed.commitment.terms.chain,
        "public_key": signed.public_key,
        "created": signed.created,
        "weights": signed.weights,
        "challenge": found.bundle.nonce,
        "timestamp": stamped,
    }
    return found.verdict.model_dump(mode="json") | about


def _rows(found: Audited, stamped: str | None, standard: Standard) -> list[list[str]]:
    signed, verdict, judgement = found.bundle.commitment, found.verdict, found.judgement
    choices = "" if found.bundle.nonce is not None else ", the owner's choice of keys allowed for"
    suspects = "" if verdict.suspects == 1 else f", for {verdict.suspects} suspects"
    return [
        ["fingerprints committed to, opened", f"{signed.commitment.size}, {len(found.bundle.openings)}"],
        ["root", signed.commitment.root],
        ["signed by", signed.public_key],
        ["signed at, as the owner says", signed.created],
        ["existed by, as an authority says that you trust", stamped or "no time stamp, or nobody trusted to give one"],
        ["keys chosen by", "the owner" if found.bundle.nonce is None else f"the challenge {found.bundle.nonce}"],
        ["suspect, as the owner says", verdict.suspect],
        *request_rows([verdict]),
        ["hits, keys asked, unanswered", f"{verdict.hits}, {verdict.trials}, {verdict.unanswered}"],
        ["chance that an unrelated model hits one", f"{verdict.null.bound:.3g} ({_SOURCES[verdict.null.kind]})"],
        ["p-value", f"{judgement.p_value:.3g}{choices}{suspects}"],
        ["asked for, by you and by the owner", f"{standard.alpha:.3g}, {verdict.alpha:.3g}"],
        ["grinding bits", "0" if verdict.grinding_bits is None else f"{verdict.grinding_bits:.1f}"],
        ["controls, which must not carry the mark", str(len(verdict.controls)) if verdict.controls else "none was asked"],
    ]


def _sentences(found: Audited) -> list[str]:
    """What the evidence comes to, each sentence under the conditions that it needs."""
    verdict, judgement = found.verdict, found.judgement
    answered = verdict.trials - verdict.unanswered
    seen = f"{verdict.hits} of {answered} answered keys got the committed response"
    if verdict.graded:
        seen = f"the committed response was favoured over its other candidates at {verdict.hits} of {answered} answered keys"
    if judgement.outcome == "not_shown":
        return [f"The mark was not shown: {seen}. This does not prove that it is absent."]
    lines = [f"The mark is there: {seen}." if judgement.outcome == "owned" else f"Nothing is decided: {seen}."]
    lines += [f"Reason: {reason}." for reason in judgement.reasons]
    lines.append(explain_p_value(verdict.null, judgement.p_value))
    if found.bundle.nonce is None:
        lines.append(about_choice(found.bundle.commitment.commitment.size))
    lines.append(REPLIES)
    lines.append(about_fitting(verdict.grinding_bits, prompted=verdict.manner.system is not None))
    if verdict.controls:
        count = len(verdict.controls)
        lines.append(f"{count} {'control' if count == 1 else 'controls'}, named by the owner, did not do as well.")
    else:
        lines.append(NO_CONTROL)
    return lines
