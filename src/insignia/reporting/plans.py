"""What ``plan`` found, as documents: how many keys to embed and to ask, and what the keys of a set can prove."""

from pathlib import Path

from insignia.keyring.prospects import PlanOptions, Prospects
from insignia.reporting.base import Document, Table
from insignia.statistics.betting import MAX_QUERIES
from insignia.statistics.forecasts import GIVES_UP, Plan
from insignia.statistics.nulls import AnyNull
from insignia.terminal import counted, percent

__all__ = ["plan_report", "prospects_report"]


def plan_report(made: Plan, null: AnyNull, options: PlanOptions) -> Document:
    """How many keys to embed and to ask."""
    rows = [
        ["an innocent model hits, at most", f"{made.bound:.3g}"],
        ["fingerprints to make, at least", str(made.embed)],
        ["keys to ask a suspect, at most", str(made.test.max_queries)],
        ["keys after which half of such marks are proven", str(made.median)],
        ["chance of proof", percent(made.power)],
    ]
    if null.name == "design":
        said = "none of its candidates" if made.lost == "silent" else "any of its candidates"
        rows.append(["reply where a fingerprint is lost", said])
    title = f"To prove a mark of which {percent(made.survival)} survives, at alpha {options.alpha:g}"
    flags = _flags(made, options.suspects)
    lines = [f"Ask with these options: insignia verify {' '.join(flags)}"] if flags else []
    return Document(title, (Table.of(title, ("", ""), rows), *lines), made.model_dump(mode="json"))


def prospects_report(prints: Path, found: Prospects, options: PlanOptions) -> Document:
    """The same of a set, after what its unspent keys can prove."""
    null = None if found.null is None else found.null.model_dump(mode="json")
    about = {"keys": found.keys, "spent": found.spent, "unspent": found.unspent, "null": null}
    seen = {"set": about, "outlook": None if found.outlook is None else found.outlook.model_dump(mode="json")}
    blocks = _set_tables(prints, found, options.power)
    if found.plan is None or found.null is None:
        obstacle = (found.obstacle or "").replace("null PRINTS", f"null {prints}")
        return Document(str(prints), (*blocks, obstacle), dict.fromkeys(Plan.model_fields) | seen)
    plan = plan_report(found.plan, found.null, options)
    return Document(str(prints), (*blocks, *plan.blocks), plan.data | seen)


def _set_tables(prints: Path, found: Prospects, power: float) -> list[Table]:
    seen = found.outlook
    rows = [
        ["keys in all", str(found.keys)],
        ["keys spent", str(found.spent)],
        ["keys unspent", str(found.unspent)],
        [
            "an innocent model hits, at most",
            "not known" if seen is None else f"{seen.bound:.3g} ({found.null and found.null.name})",
        ],
    ]
    if seen is not None:
        least = "not even a whole mark" if seen.least_survival is None else percent(seen.least_survival)
        healthy = "" if seen.healthy is None else f" ({counted(seen.healthy, 'key')} each)"
        rows.append([f"smallest survival that is proven with a chance of {percent(power)}", least])
        rows.append(["tests of a healthy mark that are left", f"{seen.tests}{healthy}"])
    about = Table.of(str(prints), ("", ""), rows)
    if seen is None:
        return [about]
    chances = [[percent(c.survival), percent(c.proof), "-" if c.median is None else str(c.median)] for c in seen.chances]
    title = f"A test of one suspect, who is asked {seen.keys} of these keys at most"
    return [about, Table.of(title, ["survival", "chance of proof", "median keys to proof"], chances)]


def _flags(made: Plan, suspects: int) -> list[str]:
    """What has to be said to a ``verify`` for the test that was planned, but for alpha and the null."""
    flags = [] if suspects == 1 else [f"--suspects {suspects}"]
    flags += [] if made.survival >= GIVES_UP else [f"--survival {made.survival:g}"]
    return flags + ([] if made.test.max_queries <= MAX_QUERIES else [f"--max-queries {made.test.max_queries}"])
