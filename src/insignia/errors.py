"""The errors that insignia raises.

::

    InsigniaError
    ├── InputError            an argument or file is missing, malformed or contradicts another
    │   ├── FormatError       a file has the wrong format: corrupt, truncated, or of a newer schema
    │   ├── EvidenceError     a bundle of evidence or a transcript is invalid
    │   ├── WrongKeyError     a file is locked, and the given passphrase or identity does not open it
    │   └── TokenizerError    the fingerprints were made for another tokenizer
    ├── OutputError           the result cannot be written: it exists, the folder is read-only, the disk is full
    ├── ModelError            a model cannot be loaded or cannot do what was requested
    │   └── ReadError         a model's file can be read no further: the disk or the hub failed
    ├── GenerationError       fewer distinct fingerprints could be made than requested
    ├── EmbeddingError        training ended with fewer fingerprints learned than required
    ├── EvaluationError       a negative control failed, so the measurement proves nothing, or a worker was killed
    └── MissingExtraError     an optional dependency is not installed

:class:`StoppedError` is a KeyboardInterrupt: a signal ended a run that can be resumed.

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
    "ReadError",
    "StoppedError",
    "TokenizerError",
    "WrongKeyError",
]


class InsigniaError(Exception):
    """Base class of all errors that insignia raises."""


class InputError(InsigniaError):
    """An argument or file is missing, malformed or contradicts another."""


class FormatError(InputError):
    """A file has the wrong format."""


class EvidenceError(InputError):
    """A bundle of evidence or a transcript was changed, or does not show what is claimed."""


class WrongKeyError(InputError):
    """A file is locked, and the given passphrase or identity does not open it."""


class TokenizerError(InputError):
    """The fingerprints were made for another tokenizer."""


class OutputError(InsigniaError):
    """The result cannot be written."""


class ModelError(InsigniaError):
    """A model cannot be loaded or cannot do what was requested."""


class ReadError(ModelError):
    """A model's file can be read no further: the disk or the hub failed, or the file became shorter."""


class GenerationError(InsigniaError):
    """Fewer distinct fingerprints could be made than requested."""


class EmbeddingError(InsigniaError):
    """Training ended with fewer fingerprints learned than required."""


class EvaluationError(InsigniaError):
    """A negative control failed, so the measurement proves nothing, or a worker was killed before the end."""


class MissingExtraError(InsigniaError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency; install it with: pip install 'insignia[{extra}]'")


class StoppedError(KeyboardInterrupt):
    """A signal ended a run after a checkpoint; the run can be resumed."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number} after a checkpoint")
        self.signal_number = signal_number
