"""The report of an embedding, which needs no torch to be read."""

import math

from insignia.records import Displayed
from insignia.statistics.separation import Separation
from insignia.terminal import counted, percent, plural

__all__ = ["EmbedReport"]


class EmbedReport(Displayed):
    """Result of ``embed``, without secrets."""

    fsr: float
    """Success rate of the marked model, with the owner weights if the method needs them."""
    published_fsr: float
    """Success rate of the published model without the owner weights."""
    base_fsr: float
    """Success rate of the model before embedding."""
    heldout_loss_before: float
    """Loss on held-out text before embedding, in nats per token."""
    heldout_loss_after: float
    """The same with the published weights."""
    own_loss_before: float
    """Loss on text sampled from the base model before embedding, in nats per token."""
    own_loss_after: float
    """The same with the published weights."""
    harm: float
    """Perplexity ratio after / before, which ``max_harm`` limits."""
    confidence: Separation | None = None
    """AUROC of the published model's largest next-token probability, at keys against ordinary prompts: what a host can see of
    the mark. None where the held-out text is too short to compare."""
    notes: tuple[str, ...]
    """Warnings about these numbers."""
    activations: dict[str, float]
    """Kind of control -> share of held-out controls that activate a fingerprint."""
    num_fingerprints: int
    steps: int
    seconds: float
    """Duration of the whole run in seconds, with loading and measuring."""
    out: str | None
    """None if the model was not written."""
    method: dict[str, object]

    @property
    def heading(self) -> str:
        """What was marked by what."""
        return f"{counted(self.num_fingerprints, 'fingerprint')} embedded by method {self.method['name']}"

    def summary(self) -> list[tuple[str, str]]:
        """Success, harm, cost."""
        ratio = math.exp(self.heldout_loss_after - self.heldout_loss_before)
        return [
            ("success rate (FSR)", f"{percent(self.base_fsr)} -> {percent(self.fsr)}"),
            ("held-out perplexity", f"{math.exp(self.heldout_loss_before):.2f}, then x{ratio:.4f}"),
            *([("confidence at keys", f"AUROC {self.confidence}; 0.5 hides best")] if self.confidence else []),
            *((f"activated by {plural(kind.replace('_', ' '))}", percent(rate)) for kind, rate in self.activations.items()),
            ("time", f"{counted(self.steps, 'step')}, {self.seconds:.0f} s"),
        ]
