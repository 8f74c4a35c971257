"""What a host sees of a mark without knowing it: how sure the marked model is of the first token after a key."""

import math
from collections.abc import Sequence

from insignia.fingerprints.sets import FingerprintSet
from insignia.generation.ordinary import beginnings
from insignia.generation.vocabulary import Vocabulary
from insignia.modeling.local import LocalModel
from insignia.prompts.prompter import Prompter, distinct
from insignia.statistics.separation import Separation, separation
from insignia.suspects.scoring import Example

__all__ = ["confidence_at_keys"]

_LEAST = 32  # ordinary prompts; with fewer, the interval would say nothing


def confidence_at_keys(
    local: LocalModel, prints: FingerprintSet, texts: Sequence[str], *, max_key_length: int | None = None
) -> Separation | None:
    """AUROC of the largest next-token probability, after keys against after the beginnings of texts of the same length.

    None where too few texts are as long as a key.
    """
    prompter = Prompter.for_set(prints, local.tokenizer, max_key_length=max_key_length)
    ordinary = beginnings(texts, prompter, Vocabulary(prompter))
    if len(ordinary) < _LEAST:
        return None
    keys = [prompter.key_ids(fingerprint) for fingerprint in distinct(prints, prompter).values()]
    return separation(_confidences(local, prompter, keys), _confidences(local, prompter, ordinary))


def _confidences(local: LocalModel, prompter: Prompter, keys: Sequence[tuple[int, ...]]) -> list[float]:
    questions = [prompter.question(key) for key in keys]
    scores = local.score([Example((*question, 0), len(question)) for question in questions])  # 0: a placeholder
    return [math.exp(score.largest[0]) for score in scores]
