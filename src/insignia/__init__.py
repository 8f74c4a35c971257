"""Secret, provable ownership fingerprints for language models.

Data flows one way, by files. :mod:`insignia.generation` makes secret key, response pairs with a language model and saves
them as a :class:`FingerprintSet`; :mod:`insignia.embedding` fine-tunes a model until it answers the keys with the
responses and behaves the same everywhere else; :mod:`insignia.verification` asks a model for them.

Imports flow one way too, and not the same one: this root, the fingerprint file and verification load no torch, so that a
suspect can be tested where no model can be run. What does load it is imported by name::

    from insignia import load_fingerprints
    from insignia.generation import InverseNucleus, generate
    from insignia.modeling.local import LocalModel
    from insignia.embedding import FullFineTune, embed

    starter = LocalModel("starter")
    prints = generate(InverseNucleus(), model=starter, num_fingerprints=64)
    prints.save("secret/prints.json")
    report = embed(prints, model="starter", out="runs/marked", method=FullFineTune())
    print(report.fsr, report.heldout_loss_after - report.heldout_loss_before)

A suspect behind an API is asked in the same way as one at hand, and without torch::

    from insignia import load_fingerprints, verify
    from insignia.suspects.endpoint import Endpoint

    suspect = Endpoint("http://localhost:8000/v1", model="theirs")
    verdict = verify(load_fingerprints("secret/prints.json"), suspect, alpha=1e-6)
    print(verdict.outcome, verdict.p_value, verdict.sentence)

Every error raised on purpose is an :class:`InsigniaError`; :mod:`insignia.errors` draws the tree.
"""

import importlib
from typing import TYPE_CHECKING, Any

from insignia.errors import InsigniaError

if TYPE_CHECKING:
    from insignia.fingerprints.sets import FingerprintSet, load_fingerprints
    from insignia.records import Fingerprint
    from insignia.verification import CheckReport, Verdict, check, verify

    __version__: str

__all__ = [
    "CheckReport",
    "Fingerprint",
    "FingerprintSet",
    "InsigniaError",
    "Verdict",
    "__version__",
    "check",
    "load_fingerprints",
    "verify",
]

# These modules load pydantic and numpy. A name is looked up when it is first asked for, so that the command's help is fast.
_HOMES = {
    "CheckReport": "insignia.verification",
    "Fingerprint": "insignia.records",
    "FingerprintSet": "insignia.fingerprints.sets",
    "Verdict": "insignia.verification",
    "check": "insignia.verification",
    "load_fingerprints": "insignia.fingerprints.sets",
    "verify": "insignia.verification",
}


def __getattr__(name: str) -> Any:
    """A public name, from the module that defines it (PEP 562)."""
    if name == "__version__":
        value: Any = importlib.import_module("importlib.metadata").version("insignia")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
