"""Another model for doubtful questions."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from insignia.attacks.base import HostAttack
from insignia.attacks.hosting import Routed
from insignia.records import Share

if TYPE_CHECKING:
    from insignia.modeling.local import LocalModel
    from insignia.suspects.base import RequestOptions, TextModel

__all__ = ["Divert"]


class Divert(HostAttack):
    """Let another model answer where this one is suspiciously sure of its first token."""

    name: Literal["divert"] = "divert"
    to: str
    """Model that answers doubtful questions: folder, hub id or 'starter'."""
    confidence: Share = 0.9
    """Probability of the likeliest first token from which a question is doubtful."""

    def wrap(self, model: "TextModel") -> Routed:
        """See ``HostAttack.wrap``.

        Raises:
            InputError: the model's confidence cannot be seen.
        """
        from insignia.attacks.logits import local_only
        from insignia.modeling.local import LocalModel

        local = local_only(model, self.name)
        return Routed(local, LocalModel(self.to), functools.partial(self._doubts, local), name=self.name)

    def _doubts(self, local: "LocalModel", questions: Sequence[str], options: "RequestOptions") -> list[bool]:
        from insignia.prompts.tokens import Tokens

        tokens = Tokens(local.tokenizer, form=options.form)
        asked = [tokens.asked(question, options) for question in questions]
        return [float(ranking.probabilities[0]) >= self.confidence for ranking in local.rank_next(asked)]
