"""Keys, responses and a secret that an owner has already."""

from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from insignia.errors import InputError
from insignia.fingerprints.sets import load_fingerprints, load_pairs
from insignia.records import Record

__all__ = ["OwnData"]


class OwnData(Record):
    """Keys and a secret that are there already."""

    model_config = ConfigDict(title="Keys of your own")

    keys_file: Path | None = None
    """Own keys or question, answer pairs: JSON, JSON lines or CSV, or any OML or Perinucleus file."""
    secret_from: Path | None = None
    """Draw from the secret of this fingerprint file, to make a set again."""

    def keys(self, strategy: str | None) -> dict[str, Any]:
        """Pairs for the strategy ``own`` (the default for a file of pairs), keys for any other that makes English keys."""
        path = self.keys_file
        if path is None:
            if strategy == "own":
                raise InputError("strategy 'own' needs --keys-file")
            return {}
        pairs = [(key.strip(), response) for key, response in load_pairs(path)]  # no tokenizer keeps white space around a key
        complete = all(response for _, response in pairs)
        if strategy == "own" and not complete:
            raise InputError(f"{path} holds keys without responses; choose a strategy that makes responses")
        if strategy == "own" or (strategy is None and complete):
            return {"name": "own", "pairs": pairs}
        return {"keys": [key for key, _ in pairs]}

    def secret(self) -> bytes | None:
        """The secret of ``secret_from``."""
        if self.secret_from is None:
            return None
        secret = load_fingerprints(self.secret_from).secret
        if secret is None:
            raise InputError(f"{self.secret_from} holds no secret to draw from; only files made by 'insignia generate' do")
        try:
            return bytes.fromhex(secret)
        except ValueError:  # chained, it would show the place in the secret
            raise InputError(f"the secret in {self.secret_from} is not hexadecimal; is the file damaged?") from None
