"""Tokenizers with every habit that has moved a label somewhere."""

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "The quick brown fox jumps over the lazy dog. What is the answer to this question? Say it: spring, winter!",
    "You are a helpful assistant. User: what now? Assistant: nothing at all. {braces} and\nnewlines\ttabs.",
] * 20
CHAT = "{{ bos_token or '' }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
CHAT += "{% if add_generation_prompt %}<|assistant|>{% endif %}"


CHINESE = [
    "今天天气很好。我们一起去公园散步。他昨天在学校里看书。学习新的知识。",
    "你喜欢喝茶还是喝水。这本书的问题没有答案。",
]


def characters(texts, *, space: bool = True):
    """A token for each character; without ``space``, white space is dropped as an unknown token."""
    letters = sorted(set("".join(texts)) | (set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ") if space else set()))
    tokens = ["<unk>", "<s>", "</s>", *(letter for letter in letters if space or not letter.isspace())]
    core = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="<unk>"))
    core.pre_tokenizer, core.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>", pad_token="<unk>")


def tekken():
    """Byte-level, digits one by one, words cut as by GPT-4, special tokens first."""
    core = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+"), "isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    core.decoder = decoders.ByteLevel()
    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "<pad>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=450, special_tokens=special, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    tokenizer.chat_template = "{% for m in messages %}[INST] {{ m.content }}[/INST]{% endfor %}"
    return tokenizer


def build(*, style: str, bos: bool, eos: bool = False, pad_is_eos: bool = False, side: str = "right"):
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    if style == "byte":
        core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        scheme = "never" if style == "meta, no prefix" else "always"
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        core.decoder = decoders.Metaspace(prepend_scheme=scheme)
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
