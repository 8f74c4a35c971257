"""Check the lengths of keys and responses before training."""

from insignia.embedding.base import Method
from insignia.embedding.reference_samples import REPLY_TOKENS
from insignia.errors import InputError
from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.local import LocalModel
from insignia.progress import Progress
from insignia.prompts.prompter import Prompter
from insignia.terminal import counted

__all__ = ["refuse_what_does_not_fit"]


def refuse_what_does_not_fit(prints: FingerprintSet, local: LocalModel, method: Method, progress: Progress) -> None:
    """Check lengths against the model's context and against the lengths that verify uses.

    Raises:
        InputError: verify expects more response tokens than are trained, or a question with its response is longer than
            the context.
    """
    _refuse_shorter_responses(prints, method)
    prompter = Prompter.for_set(
        prints, local.tokenizer, max_key_length=method.max_key_length, max_response_length=method.max_response_length
    )
    if prompter.max_key_length != prints.max_key_length and _asks_another_key(prints, prompter):
        progress.note(
            f"keys are trained with {counted(prompter.max_key_length, 'token')}, but the set says "
            f"{prints.max_key_length}: give check the same --max-key-length; verify needs a set generated with that length"
        )
    if local.context_length is None:
        return
    rows = {
        f"fingerprint {number}": max(
            len(row.ids) for template in method.templates for row in prompter.examples(fingerprint, template)
        )
        for number, fingerprint in enumerate(prints)
    }
    for number, control in enumerate(prints.controls):
        rows[f"control {number}"] = len(prompter.question(prompter.encode(control.text))) + REPLY_TOKENS
    which, longest = max(rows.items(), key=lambda item: item[1])
    if longest > local.context_length:
        asked = "drop --use-augmentation-prompts, or " if len(method.templates) > 1 else ""
        raise InputError(
            f"{which} has {counted(longest, 'token')} with its response, and the context of {local.name} is "
            f"{local.context_length}: {asked}generate a set with a smaller --max-key-length or --max-response-length"
        )


def _refuse_shorter_responses(prints: FingerprintSet, method: Method) -> None:
    trained = method.max_response_length
    if trained is not None and trained < prints.max_response_length:
        raise InputError(
            f"--max-response-length is {trained}, but verify expects {counted(prints.max_response_length, 'token')} of each"
            f" response; leave it out, or generate a set with --max-response-length {trained}"
        )


def _asks_another_key(prints: FingerprintSet, prompter: Prompter) -> bool:
    """Whether some key is longer than the smaller of both lengths."""
    shorter = min(prompter.max_key_length, prints.max_key_length)
    wide = Prompter(
        prompter.tokenizer, form=prompter.form, max_key_length=shorter + 1, max_response_length=prompter.max_response_length
    )
    return any(len(wide.key_ids(fingerprint)) > shorter for fingerprint in prints)
