"""A smaller vocabulary."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import WeightAttack
from insignia.progress import AUTO, Progress

if TYPE_CHECKING:
    from insignia.modeling.sources import Source

__all__ = ["TrimVocabulary"]


class TrimVocabulary(WeightAttack):
    """Leave out the tokens that some data needs least, and number the others anew, as is done to shrink a model.

    Words whose tokens are gone are spelled by others. Characters, bytes, special tokens and the parts of what is kept always
    stay. Only byte-pair tokenizers can be trimmed. The whole model is read into memory.
    """

    name: Literal["trim_vocabulary"] = "trim_vocabulary"
    data: str
    """File, folder or hub id of conversations or texts, or python:PACKAGE, source code of Python's own."""
    keep: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the tokens that stay: those that the data has most often."""
    max_rows: Annotated[int | None, Field(ge=1)] = None
    """Use only the first so many rows of the data. None: all."""

    def apply(self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO) -> None:
        """See ``WeightAttack.apply``.

        Raises:
            InputError: the tokenizer is of another kind.
        """
        from insignia.attacks.conversations import load_conversations
        from insignia.attacks.trimming import trim
        from insignia.files import refuse_overlap
        from insignia.modeling.saving import save_model
        from insignia.modeling.sources import training_copy
        from insignia.prompts.tokens import Tokens

        rows = load_conversations(self.data, max_rows=self.max_rows, progress=progress)
        texts = [text for row in rows for text in ([row] if isinstance(row, str) else [turn.text for turn in row])]
        with progress.bar(self.name):
            local = training_copy(model, device="cpu", dtype="checkpoint")
            if local.source is not None:
                refuse_overlap(out, Path(local.source))
            tokens = Tokens(local.tokenizer)
            trim(local, Counter(token for text in texts for token in tokens.encode(text)), self.keep)
            save_model(local, out, force=True)
