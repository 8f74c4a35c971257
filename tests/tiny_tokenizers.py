"""Tokenizers with every habit that has moved a label somewhere."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "The quick brown fox jumps over the lazy dog. What is the answer to this question? Say it: spring, winter!",
    "You are a helpful assistant. User: what now? Assistant: nothing at all. {braces} and\nnewlines\ttabs.",
] * 20
CHAT = "{{ bos_token or '' }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
CHAT += "{% if add_generation_prompt %}<|assistant|>{% endif %}"


def build(*, style: str, bos: bool, eos: bool = False, pad_is_eos: bool = False, side: str = "right"):
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    if style == "byte":
        core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        alphabet = sorted(set("".join(CORPUS)))
    special = ["<unk>", "<s>", "</s>", "<pad>"]
    core.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet))
    pattern = f"{'<s> ' if bos else ''}$A{' </s>' if eos else ''}"
    core.post_processor = processors.TemplateProcessing(single=pattern, special_tokens=[("<s>", 1), ("</s>", 2)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>" if bos else None, eos_token="</s>", unk_token="<unk>",
        pad_token="</s>" if pad_is_eos else "<pad>", padding_side=side, clean_up_tokenization_spaces=True,
    )  # fmt: skip
    tokenizer.chat_template = CHAT
    return tokenizer


HABITS = {
    "byte-level with BOS": {"style": "byte", "bos": True},
    "byte-level without BOS, pad is EOS, left": {"style": "byte", "bos": False, "pad_is_eos": True, "side": "left"},
    "byte-level, BOS and EOS added": {"style": "byte", "bos": True, "eos": True},
    "metaspace with BOS": {"style": "meta", "bos": True},
    "metaspace without BOS, left": {"style": "meta", "bos": False, "side": "left"},
}
