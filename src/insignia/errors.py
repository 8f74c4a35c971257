"""Every error that insignia raises on purpose.

::

    InsigniaError
    ├── InputError            something given is missing, malformed or contradicts something else given
    │   ├── FormatError       a file is not what it should be: corrupt, truncated, foreign, of a newer schema
    │   ├── EvidenceError     a bundle of evidence or a transcript does not hold
    │   ├── WrongKeyError     a file is locked, and the passphrase or identity at hand does not open it
    │   └── TokenizerError    the fingerprints were made for another tokenizer
    ├── OutputError           the result cannot be written: it exists, the folder is read-only, the disk is full
    ├── ModelError            a model cannot be loaded or cannot do what was asked
    ├── GenerationError       the model does not yield as many distinct fingerprints as were asked for
    ├── EmbeddingError        training ended with fewer fingerprints learned than required
    ├── EvaluationError       a negative control failed: what was measured proves nothing
    └── MissingExtraError     an optional dependency is not installed

A message says what was wrong, what was expected and what to do. It never quotes a key or a response.
"""

__all__ = [
    "EmbeddingError",
    "EvaluationError",
    "EvidenceError",
    "FormatError",
    "GenerationError",
    "InputError",
    "InsigniaError",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "TokenizerError",
    "WrongKeyError",
]


class InsigniaError(Exception):
    """Base of all errors that are the user's to read, not ours to debug."""


class InputError(InsigniaError):
    """Something given is missing, malformed or contradicts something else given."""


class FormatError(InputError):
    """A file is not in the format it should be in."""


class EvidenceError(InputError):
    """A bundle of evidence or a transcript does not hold: it was changed, or does not show what is claimed."""


class WrongKeyError(InputError):
    """A file is locked, and the passphrase or identity at hand does not open it; nothing says that it is damaged."""


class TokenizerError(InputError):
    """The fingerprints were made for another tokenizer."""


class OutputError(InsigniaError):
    """The result cannot be written."""


class ModelError(InsigniaError):
    """A model cannot be loaded or cannot do what was asked."""


class GenerationError(InsigniaError):
    """Fewer distinct fingerprints could be made than were asked for."""


class EmbeddingError(InsigniaError):
    """Training ended with fewer fingerprints learned than required."""


class EvaluationError(InsigniaError):
    """A negative control failed: what was measured proves nothing."""


class MissingExtraError(InsigniaError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency; install it with: pip install 'insignia[{extra}]'")
