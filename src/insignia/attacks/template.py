"""Another chat template than the model was trained with."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import HostAttack
from insignia.attacks.hosting import Hosted

if TYPE_CHECKING:
    from insignia.suspects.base import RequestOptions, TextModel

__all__ = ["Template"]

_EACH = "{% for message in messages %}"
_TEMPLATES = {  # as their models publish them, without what only several turns need
    "alpaca": _EACH
    + "{% if message.role == 'system' %}{{ message.content }}\n\n{% elif message.role == 'user' %}### Instruction:\n"
    "{{ message.content }}\n\n{% else %}### Response:\n{{ message.content }}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}### Response:\n{% endif %}",
    "chatml": _EACH + "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "llama2": _EACH + "{% if message.role == 'user' %}[INST] {{ message.content }} [/INST]{% elif message.role == 'system' %}"
    "<<SYS>>\n{{ message.content }}\n<</SYS>>\n\n{% else %} {{ message.content }} {% endif %}{% endfor %}",
    "vicuna": _EACH
    + "{% if message.role == 'user' %}USER: {{ message.content }} {% elif message.role == 'system' %}{{ message.content }} "
    "{% else %}ASSISTANT: {{ message.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}",
}


class Template(HostAttack):
    """Put every question into another chat template, also one that was to be continued as raw text."""

    name: Literal["template"] = "template"
    template: Annotated[str, Field(min_length=1)] = "chatml"
    """One of alpaca, chatml, llama2 and vicuna, or the text of a Jinja template with ``messages``."""

    def wrap(self, model: "TextModel") -> Hosted:
        """See ``HostAttack.wrap``.

        Raises:
            InputError: the suspect is no model on this machine.
        """
        from insignia.attacks.logits import local_only

        local = local_only(model, self.name)
        text = _TEMPLATES.get(self.template, self.template)
        return Hosted(local.with_template(text), name=self.name, options=self._options)

    def _options(self, options: "RequestOptions") -> "RequestOptions":
        return options.model_copy(update={"form": "chat"})
