"""An owner with four licensees, a trace of one's copy, and accusations from it, for tests of what a judge can check."""

import importlib.util
import sys
from pathlib import Path

from drawn_prints import drawn, knowing
from insignia.evidence.publication import owner_rng, publish
from insignia.keyring.keyring import Keyring
from insignia.licensing.accusation import Accusation, accuse
from insignia.licensing.book import open_book
from insignia.licensing.codes import Code
from insignia.licensing.commitments import commit_codes
from insignia.licensing.leaks import TraceOptions, trace
from insignia.suspects.scripted import ScriptedModel

BLOCKS, NAMES = 48, ["Acme", "Bolt", "Crown", "Dune"]
WEIGHTS = {"model.safetensors": "sha256:" + "0" * 64}
AUDIT_SCRIPT = Path(__file__).resolve().parents[1] / "tools" / "audit_accusation.py"


def _script():
    spec = importlib.util.spec_from_file_location("independent_audit_of_accusations", AUDIT_SCRIPT)
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


SCRIPT = _script()
independent_audit = SCRIPT.audit


class Case:
    """A trace of Acme's copy, and one of the model without blocks."""

    def __init__(self, folder, make=drawn):
        make(2 * BLOCKS).save(folder / "prints.json")
        self.folder, self.kept = folder, Keyring.open(folder / "prints.json").only()
        with open_book(self.kept, blocks=BLOCKS) as book:
            for name in NAMES:
                book.begin(name, again=False)
                book.finish(name, {})
            self.codes = commit_codes(self.kept, book)
        self.published = publish(self.kept.prints, WEIGHTS)
        self.rng = owner_rng(self.kept.prints)
        self.word = Code(blocks=BLOCKS).words(self.rng, ["Acme"])[0]
        self.numbers = [n for n in range(2 * BLOCKS) if self.word[n % BLOCKS]]
        self.suspect = self.traced("suspect.jsonl", self.numbers)
        self.control = self.traced("control.jsonl", [], max_queries=BLOCKS)

    def traced(self, name, numbers, *, model=None, **options):
        model = model or ScriptedModel(knowing(self.kept.prints, numbers), name="leak", otherwise="I do not know.")
        model.may_refuse = False
        trace(self.kept, [lambda: model], TraceOptions(**options), transcripts=[self.folder / name])
        return self.folder / name

    def accuse(self, licensee="Acme", **changes):
        about = {"published": self.published, "codes": self.codes, "transcript": self.suspect} | changes
        with open_book(self.kept) as book:
            return accuse(self.kept, book, licensee, **about)

    def signed(self, made, **changes):
        """The accusation with these changes, signed again by the owner."""
        plain = {name: getattr(made, name) for name in Accusation.model_fields if name not in {"public_key", "signature"}}
        return Accusation.sign(self.rng, **(plain | changes)).content()
