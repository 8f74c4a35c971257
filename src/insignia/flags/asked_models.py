"""Who is asked, and what makes a test evidence, as flags name them."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field

from insignia.errors import InputError
from insignia.modeling.placement import Placement
from insignia.records import Flag, Record
from insignia.suspects.base import SUSPECTS
from insignia.suspects.retry_policy import API_KEY_VARIABLE, RetryPolicy

if TYPE_CHECKING:
    from insignia.evidence.publication import SignedCommitment
    from insignia.keyring.keyring import Suspect

__all__ = ["ControlFlags", "EvidenceFlags", "SuspectFlags"]


class SuspectFlags(Record):
    """The models to ask."""

    model_config = ConfigDict(title="Basics")

    model: Annotated[tuple[str, ...], Flag("--model", "--model-path", many=True)] = ()
    """Model to ask: folder, hub id or 'starter'. Repeat it for several."""
    endpoint: Annotated[str | None, Field(repr=False)] = None
    """Base address of an OpenAI-compatible API, such as http://localhost:8000/v1."""
    name: Annotated[tuple[str, ...], Flag(many=True)] = ()
    """With --endpoint: the model's name there. Repeat it for several."""
    api_key_variable: str = API_KEY_VARIABLE
    """Environment variable that holds the API key."""
    suspect: Annotated[tuple[str, ...], Flag(many=True)] = ()
    """Suspect of another kind, from a plug-in: its name, or '{name: my_api, url: ...}' with its options."""

    @property
    def given(self) -> bool:
        """Whether a suspect is named."""
        return bool(self.model or self.name or self.suspect)

    def refuse_contradictions(self) -> None:
        """Raise InputError where the flags do not go together."""
        if (self.endpoint is None) != (not self.name):
            raise InputError("--endpoint and --name belong together: the address, and the model's name there")
        if self.model and self.name:
            raise InputError(
                "--model and --endpoint were both given; ask one at a time, then judge their --transcript files together"
            )

    def open(self, network: RetryPolicy, placement: Placement) -> "list[Suspect]":
        """The suspects; one on this machine is loaded when its turn comes."""
        found = _opened(self.model, (self.endpoint, self.name, self.api_key_variable), network, placement)
        return [*found, *map(SUSPECTS.build, self.suspect)]


class ControlFlags(Record):
    """The models that must not carry the mark."""

    model_config = ConfigDict(title="Evidence")

    control: Annotated[tuple[str, ...], Flag(many=True)] = ()
    """Model that must not carry the mark, such as the suspect's ancestor: as --model. It is asked the suspect's keys."""
    control_endpoint: Annotated[str | None, Field(repr=False)] = None
    """Base address of an API that serves such a model."""
    control_name: Annotated[tuple[str, ...], Flag(many=True)] = ()
    """With --control-endpoint: the model's name there."""
    control_api_key_variable: str = "INSIGNIA_CONTROL_API_KEY"
    """Environment variable that holds the API key for --control-endpoint."""

    def open(self, network: RetryPolicy, placement: Placement) -> "list[Suspect]":
        """The controls, those at the endpoint first.

        Raises:
            InputError: the flags do not go together.
        """
        if (self.control_endpoint is None) != (not self.control_name):
            raise InputError("--control-endpoint and --control-name belong together: the address, and the model's name there")
        served = self.control_endpoint, self.control_name, self.control_api_key_variable
        return _opened(self.control, served, network, placement)


class EvidenceFlags(Record):
    """What makes a test evidence for others."""

    model_config = ConfigDict(title="Evidence")

    transcript: Annotated[tuple[Path, ...], Flag(many=True)] = ()
    """Record of a suspect's replies, which a killed run continues from; one for each suspect. Without a suspect: judge it."""
    challenge: str | None = None
    """Nonce of a judge, which chooses the keys together with the root of --commitment."""
    commitment: Path | None = None
    """With --challenge: what 'insignia commit' wrote."""
    decoy_file: Annotated[Path | None, Flag("--decoy-file", "--cover-file")] = None
    """Text file of your own decoy questions, separated by blank lines."""

    def judge_challenge(self) -> "tuple[str, SignedCommitment] | None":
        """The nonce and the commitment that it goes with, if there are any."""
        if self.challenge is None and self.commitment is None:
            return None
        if self.challenge is None or self.commitment is None:
            raise InputError("--challenge and --commitment belong together: a judge's nonce, and what 'insignia commit' wrote")
        from insignia.evidence.publication import SignedCommitment

        return self.challenge, SignedCommitment.load(self.commitment)


def _opened(
    models: tuple[str, ...],
    served: tuple[str | None, tuple[str, ...], str],
    network: RetryPolicy,
    placement: Placement,
) -> "list[Suspect]":
    """The models ``served`` (address, names, variable of the API key), then what loads those on this machine."""
    from insignia.suspects.endpoint import Endpoint

    endpoint, names, variable = served
    remote = [Endpoint(endpoint, model=name, retry_policy=network, api_key_variable=variable) for name in names if endpoint]
    return [*remote, *(functools.partial(placement.open, source) for source in models)]
