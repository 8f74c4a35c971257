"""What an attack is: what others do to a marked model, to its weights or where it is served."""

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from insignia.errors import InputError
from insignia.progress import AUTO, Progress
from insignia.records import Displayed, Part
from insignia.registry import Registry

if TYPE_CHECKING:
    from insignia.modeling.choosing import LogitsChange
    from insignia.modeling.local import LocalModel
    from insignia.modeling.sources import Source
    from insignia.suspects.base import TextModel

__all__ = ["ATTACKS", "Attack", "HostAttack", "LogitsAttack", "WeightAttack", "on_weights"]


class Attack(Part):
    """What somebody else does to a published model, to its weights or as its host. An attack is its configuration."""


class WeightAttack(Attack):
    """An attack on the weights: a model's folder in, another folder out. Subclasses set ``name``."""

    @abstractmethod
    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> Displayed | None:
        """Write the attacked model to the folder ``out``, which is replaced; a report, if there is something to say.

        The same seed gives the same model.
        """


class HostAttack(Attack):
    """An attack by whoever serves the model: a suspect in, a suspect out. The weights stay. Subclasses set ``name``."""

    @abstractmethod
    def wrap(self, model: "TextModel") -> "TextModel":
        """The model as this host serves it. It offers the channels that ``model`` offers."""


class LogitsAttack(HostAttack):
    """An attack on the logits of the first token of a reply, for a model on this machine. Subclasses set ``name``."""

    @abstractmethod
    def changing(self, model: "LocalModel") -> "LogitsChange":
        """What this host does to the model's logits, from (logits (questions, vocabulary), token ids of the questions)."""

    def wrap(self, model: "TextModel") -> "LocalModel":
        """See ``HostAttack.wrap``.

        Raises:
            InputError: the model's logits cannot be changed.
        """
        from insignia.attacks.logits import local_only

        local = local_only(model, self.name)
        return local.altered(self.changing(local), name=f"{local.name} behind {self.name}")


ATTACKS: Registry[Attack] = Registry(
    "attack",
    {
        "distil": "insignia.attacks.distil:Distil",
        "divert": "insignia.attacks.divert:Divert",
        "dpo": "insignia.attacks.dpo:DPO",
        "drop_layers": "insignia.attacks.drop_layers:DropLayers",
        "finetune": "insignia.attacks.finetune:FineTune",
        "frame": "insignia.attacks.frame:Frame",
        "meraser": "insignia.attacks.meraser:MEraser",
        "merge": "insignia.attacks.merge:Merge",
        "noise": "insignia.attacks.noise:Noise",
        "overwrite": "insignia.attacks.overwrite:Overwrite",
        "paraphrase": "insignia.attacks.paraphrase:Paraphrase",
        "perplexity_filter": "insignia.attacks.perplexity_filter:PerplexityFilter",
        "prune": "insignia.attacks.prune:Prune",
        "quantize": "insignia.attacks.quantize:Quantize",
        "refuse": "insignia.attacks.refuse:Refuse",
        "round": "insignia.attacks.round:Round",
        "sample": "insignia.attacks.sample:Sample",
        "shuffle_ranks": "insignia.attacks.shuffle_ranks:ShuffleRanks",
        "subtract": "insignia.attacks.subtract:Subtract",
        "suppress_bigrams": "insignia.attacks.suppress_bigrams:SuppressBigrams",
        "suppress_lookahead": "insignia.attacks.suppress_lookahead:SuppressLookahead",
        "suppress_neighbor": "insignia.attacks.suppress_neighbor:SuppressNeighbor",
        "suppress_topk": "insignia.attacks.suppress_topk:SuppressTopK",
        "system_prompt": "insignia.attacks.system_prompt:SystemPrompt",
        "template": "insignia.attacks.template:Template",
        "trim_vocabulary": "insignia.attacks.trim_vocabulary:TrimVocabulary",
        "truncate": "insignia.attacks.truncate:Truncate",
        "unlearn": "insignia.attacks.unlearn:Unlearn",
        "wanda": "insignia.attacks.wanda:Wanda",
    },
    group="insignia.attacks",
)


def on_weights(attack: Attack) -> WeightAttack:
    """The attack, if it is one on weights, else an InputError."""
    if isinstance(attack, WeightAttack):
        return attack
    raise InputError(f"{attack.name!r} is an attack by a host, which leaves the weights as they are; expected one on weights")
