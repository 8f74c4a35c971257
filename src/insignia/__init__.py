"""Secret, provable ownership fingerprints for language models: mark a model, and prove later that it is yours.

::

    prints = insignia.generate("starter", num_fingerprints=64)  # a folder, a hub id, "starter", or (model, tokenizer)
    prints.save("secret/prints.json")  # the only secret
    marked = insignia.embed("starter", prints, out="marked")  # fine-tunes it until it answers, and measures the harm
    insignia.check(marked, prints, base="starter")  # your own measurement, every fingerprint
    vector = insignia.vector("starter", marked, out="secret/vector")  # what marking changed,
    insignia.stamp("sibling", vector, out="stamped")  # added to a derivative of the same base, without training
    ring = insignia.Keyring.open("secret/prints.json")  # the set and the ledger of its spent keys
    ring.verify(insignia.Endpoint("http://localhost:8000/v1", model="theirs"))  # evidence, without torch

dir(insignia) lists the rest. Strategies: insignia.generation; methods: insignia.embedding; nulls: insignia.statistics.nulls.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from insignia.errors import InsigniaError as InsigniaError

if TYPE_CHECKING:
    from insignia.attacks.finetuning import finetune as finetune
    from insignia.embedding import embed as embed
    from insignia.evaluation import evaluate as evaluate
    from insignia.fingerprints.sets import FingerprintSet as FingerprintSet
    from insignia.fingerprints.sets import load_fingerprints as load_fingerprints
    from insignia.generation import generate as generate
    from insignia.keyring.keyring import Keyring as Keyring
    from insignia.modeling.local import LocalModel as LocalModel
    from insignia.progress import quiet as quiet
    from insignia.publishing.upload import publish as publish
    from insignia.records import Fingerprint as Fingerprint
    from insignia.suspects.endpoint import Endpoint as Endpoint
    from insignia.vectors import stamp as stamp
    from insignia.vectors import vector as vector
    from insignia.verification import CheckReport as CheckReport
    from insignia.verification import Verdict as Verdict
    from insignia.verification import check as check

    __version__: str

# A name is looked up when it is first asked for: 'import insignia' loads neither torch nor pydantic.
_HOMES = {
    "CheckReport": "insignia.verification",
    "Endpoint": "insignia.suspects.endpoint",
    "Fingerprint": "insignia.records",
    "FingerprintSet": "insignia.fingerprints.sets",
    "Keyring": "insignia.keyring.keyring",
    "Verdict": "insignia.verification",
    "check": "insignia.verification",
    "generate": "insignia.generation",
    "load_fingerprints": "insignia.fingerprints.sets",
    "quiet": "insignia.progress",
}
_HOMES_WITH_TORCH = {
    "LocalModel": "insignia.modeling.local",
    "embed": "insignia.embedding",
    "evaluate": "insignia.evaluation",
    "finetune": "insignia.attacks.finetuning",
    "publish": "insignia.publishing.upload",
    "stamp": "insignia.vectors",
    "vector": "insignia.vectors",
}
# There is no __all__: with one, help(insignia) would print every class whole.


def __getattr__(name: str) -> Any:
    """A public name, from the module that defines it (PEP 562)."""
    if name == "__version__":
        value: Any = importlib.import_module("importlib.metadata").version("insignia")
    elif home := _HOMES.get(name) or _HOMES_WITH_TORCH.get(name):
        value = getattr(importlib.import_module(home), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    with_torch = _HOMES_WITH_TORCH if importlib.util.find_spec("torch") else ()
    return sorted({"InsigniaError", "__version__", *_HOMES, *with_torch})
