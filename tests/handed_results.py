"""Small results of every kind that a report tells of, made without a model."""

from insignia.embedding.embed_report import EmbedReport
from insignia.evaluation import Cell, Evaluation, HarmGrid, Harmlessness
from insignia.evaluation.comparing import Answers, compare
from insignia.evaluation.harmlessness import Replies, Scores
from insignia.evaluation.robustness import AttackedMark, AttackOutcome, Proof, Robustness
from insignia.records import Provenance
from insignia.statistics.separation import Separation

MADE = Provenance(insignia="0.1.0", created="2026-11-22T00:00:00+00:00")


def embedding(**changes):
    """64 fingerprints that were learned at little harm."""
    fields = {
        "fsr": 1.0,
        "published_fsr": 1.0,
        "base_fsr": 0.0,
        "heldout_loss_before": 3.7619,
        "heldout_loss_after": 3.7703,
        "own_loss_before": 2.1,
        "own_loss_after": 2.104,
        "harm": 1.0084,
        "confidence": Separation(auroc=0.96, low=0.92, high=0.98),
        "notes": (),
        "activations": {},
        "num_fingerprints": 64,
        "steps": 73,
        "seconds": 202.0,
        "out": "marked",
        "method": {"name": "full", "target_margin": 5.0},
    }
    return EmbedReport(**fields | changes)


def evaluation(*, innocent_hits=0):
    """A published model, a user's, an innocent one and sampled replies."""

    def cell(name, hits, expected, p_value):
        return Cell(name=name, suspect=name, should_activate=expected, fsr=hits / 10, hits=hits, answered=10, p_value=p_value)

    cells = (
        cell("sft vanilla", innocent_hits, False, 1.0),
        cell("sft published", 10, True, 9.1e-13),
        cell("sft user full", 9, True, 1.4e-10),
        cell("sft sampled", 8, None, None),
    )
    losses = {"sft user full": (3.2, 2.1)}
    return Evaluation(model="starter", num_fingerprints=10, perplexity={"sft": 1.0087}, user_loss=losses, cells=cells)


def attacked(attack="merge", strength="0.5", *, suspect="marked", owned=("scores", "text"), mark="harmless", **changes):
    """What is left after one attack; ``owned`` are the channels that prove it."""

    def proof(channel):
        found = channel in owned
        p_value = 1e-9 if found else 0.2
        return Proof(
            outcome="owned" if found else "not_shown", keys=7 if found else 20, p_value=p_value, p_value_of_all=p_value
        )

    fields = {
        "on": "weights",
        "spec": {"name": attack},
        "fsr": 0.5,
        "hits": 32,
        "answered": 64,
        "perplexity": 1.25,
        "changed": 0.04,
        "reply_length": 1.0,
        "seconds": 3.0,
        "by_channel": {channel: proof(channel) for channel in ("scores", "text")},
    }
    return AttackOutcome(mark=mark, attack=attack, strength=strength, suspect=suspect, **fields | changes)


def robustness(*rows, **changes):
    """One mark, merged twice and behind a host, beside a control."""
    usual = (
        attacked("none", "", on="nothing", perplexity=1.0),
        attacked("merge", "0.5"),
        attacked("merge", "0.1", owned=("scores",), perplexity=1.5),
        attacked("suppress_topk", "", owned=(), on="host", perplexity=None, changed=0.3),
        attacked("merge", "0.5", suspect="unmarked", owned=()),
        attacked("merge", "0.5", suspect="sibling", owned=()),
    )
    marks = (AttackedMark(name="harmless", strategy="inverse_nucleus", num_fingerprints=64, perplexity=1.0061),)
    fields = {"model": "starter", "alpha": 1e-6, "seed": 0, "marks": marks, "rows": rows or usual, "provenance": MADE}
    return Robustness(**fields | changes)


def answers(name, *, wrong=0, tasks=("cloze", "choice"), questions=700, length=20):
    """A model that answers all questions of each task correctly but the first ``wrong``; a reply in ten it does not end."""
    numbers = tuple(map(str, range(questions)))
    scores = tuple(float(number >= wrong) for number in range(questions))
    given = {task: Scores(task=task, metric="acc", questions=numbers, scores=scores) for task in tasks}
    lengths = tuple(64 if number % 10 == 0 else length for number in range(50))
    return Answers(name, given, Replies(lengths=lengths, ended=tuple(each < 64 for each in lengths), most=64))


def harmlessness(*, wrong=0, **given):
    """A marked model that answers the first ``wrong`` questions of two tasks no longer."""
    grid = HarmGrid()
    found = compare(answers("base", **given), answers("marked", wrong=wrong, **given), grid, seed=0)
    settings = {"limit": grid.limit, "num_fewshot": None, "apply_chat_template": False}
    return Harmlessness(
        tasks=grid.tasks,
        margin=grid.margin,
        confidence=grid.confidence,
        settings=settings,
        seed=0,
        comparisons=(found,),
        harness="0.4.13",
        provenance=MADE,
    )
