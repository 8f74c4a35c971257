"""Access to the logits of a suspect."""

from insignia.errors import InputError
from insignia.modeling.local import LocalModel
from insignia.suspects.base import TextModel

__all__ = ["local_only"]


def local_only(model: TextModel, attack: str) -> LocalModel:
    """The model, if its logits can be changed.

    Raises:
        InputError: it is an endpoint, or another attack that is not on logits is around it.
    """
    if isinstance(model, LocalModel):
        return model
    raise InputError(
        f"the attack {attack!r} needs the logits, and {model.name} gives none; expected a model on this machine, "
        "with attacks that need none around this one"
    )
