"""Servers as functions that speak the formats of real ones about a model that is made up.

The fields and shapes are those of vLLM 0.10 to 0.20 (vllm/entrypoints/openai), SGLang 0.5 (srt/entrypoints/openai and
``/generate``), llama.cpp (tools/server) and ``transformers serve`` 5, as their sources have them.
"""

import hashlib
import json
import math
import re

import httpx2

BEGIN = "<s>"
OUT_OF_PLACE = {"error": {"message": "TOPSECRET", "code": 400}}


def tokens_of(text):
    """Words with the space before them, and punctuation."""
    return re.findall(r" ?\w+| ?[^\w\s]|\s", text)


def score(before, token):
    """Log-probability of a token after a text."""
    digest = hashlib.sha256(f"{before}|{token}".encode()).digest()
    return -0.5 - int.from_bytes(digest[:2], "big") / 2**13


def token_id(token):
    return int.from_bytes(hashlib.sha256(token.encode()).digest()[:3], "big")


def top(words):
    """The likeliest of some words and its log-probability."""
    best = max(words, key=words.get, default=None)
    return {} if best is None else {best: words[best]}


class Host:
    """A server that knows some fields. It ignores or refuses others, and keeps what it was asked."""

    def __init__(self, *fields, words, ignores=True, lists=True):
        words = [*words, *(f" other{number}" for number in range(40))]
        self.fields, self.words, self.ignores, self.lists = set(fields), words, ignores, lists
        self.asked = []

    def __call__(self, request):
        body = json.loads(request.content)
        self.asked.append((request.url.path, body))
        usual = {"model", "prompt", "messages", "max_tokens", "temperature", "seed"}
        unknown = set(body) - usual - self.fields
        if request.url.path == "/generate" and "/generate" in self.fields:
            return httpx2.Response(200, json=[self.native(text) for text in body["text"]])
        if not request.url.path.startswith("/v1/"):
            return httpx2.Response(404, json={"detail": "Not Found"})
        if (unknown and not self.ignores) or (isinstance(body.get("prompt"), list) and not self.lists):
            return httpx2.Response(400, json=OUT_OF_PLACE)
        body = {name: value for name, value in body.items() if name not in unknown}
        if "messages" in body:
            prompts = ["\n".join(f"{turn['role']}: {turn['content']}" for turn in body["messages"])]
            prompts = [prompts[0].replace("\nassistant: ", "\nassistant:") if body.get("continue_final_message")
                       else f"{prompts[0]}\nassistant:"]  # fmt: skip
        else:
            prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
        choices = [self.choice(prompt, number, body) for number, prompt in enumerate(prompts)]
        value = {"object": "text_completion", "choices": choices, "usage": {"completion_tokens": len(prompts)}}
        if "prompt_logprobs" in body and "messages" in body:
            value["prompt_logprobs"] = choices[0].pop("prompt_logprobs")
        return httpx2.Response(200, json=value)

    def line(self, prompt):
        """The tokens of a prompt, their log-probabilities and the words that are likelier there; the first has none."""
        parts = [BEGIN, *tokens_of(prompt)]
        return [(part, *self.place("".join(parts[:i]), part)) if i else (part, None, {}) for i, part in enumerate(parts)]

    def place(self, before, token):
        log = score(before, token)
        return log, {word: other for word in self.words if (other := score(before, word)) > log}

    def table(self, prompt, body):
        """The log-probability of each word as the next token, as the request makes it."""
        allowed = self.allowed(body)
        table = {word: score(BEGIN + prompt, word) for word in self.words}
        if allowed is not None:
            table = {word: table.get(word, -9.0) for word in allowed}
        raised = self.raised(body)
        return {word: log + raised.get(word, 100.0) - 100.0 for word, log in table.items()}

    def raised(self, body):
        """The bias of each word that has one; 100 is the largest."""
        biases = body.get("logit_bias", {})
        if "generation_config" in body:
            biases = {str(ids[0]): bias for ids, bias in json.loads(body["generation_config"])["sequence_bias"]}
        if isinstance(biases, list):
            return dict(biases)
        return {word: biases[str(token_id(word))] for word in self.words if str(token_id(word)) in biases}

    def allowed(self, body):
        """The words that a request allows; None for all."""
        if "structured_outputs" in body:
            return body["structured_outputs"]["choice"]
        if "guided_choice" in body:
            return body["guided_choice"]
        if "regex" in body:
            return [word for word in self.words if re.fullmatch(body["regex"], word)]
        if "grammar" in body:
            assert body["grammar"].startswith("root ::= ")
            return [json.loads(text) for text in body["grammar"].removeprefix("root ::= ").split(" | ")]
        if "generation_config" in body:
            return list(self.raised(body))
        return list(self.raised(body)) if "logit_bias" in body else None

    def choice(self, prompt, number, body):
        table = self.table(prompt, body)
        word = max(table, key=table.get)
        choice = {"index": number, "text": word, "finish_reason": "length", "logprobs": None}
        if "prompt_logprobs" in body:
            choice["prompt_logprobs"] = [
                None if log is None else {str(token_id(text)): {"logprob": log, "rank": len(above) + 1, "decoded_token": text}}
                for text, log, above in self.line(prompt)
            ]
        if body.get("echo"):
            echoed = [*self.line(prompt), (word, table[word], {})]
            choice |= {"text": prompt + word}
            choice["logprobs"] = {
                "tokens": [text for text, _, _ in echoed],
                "token_logprobs": [log for _, log, _ in echoed],
                "top_logprobs": [None if log is None else {text: log} | top(above) for text, log, above in echoed],
                "text_offset": [-1] * len(echoed),  # as SGLang says; vLLM counts the special token
            }
        elif body.get("post_sampling_probs"):
            whole = math.fsum(map(math.exp, table.values()))
            shown = [{"id": 1, "token": text, "bytes": [], "prob": math.exp(log) / whole} for text, log in table.items()]
            choice["logprobs"] = {"content": [{"id": 1, "token": word, "bytes": [], "prob": 0.1, "top_probs": shown}]}
        elif body.get("logprobs"):
            shown_of = table
            if "logprob_token_ids" in body:
                shown_of = {word: log for word, log in table.items() if token_id(word) in body["logprob_token_ids"]}
            most = body["top_logprobs"] if "messages" in body else body["logprobs"]
            likeliest = sorted(shown_of, key=table.get, reverse=True)[:most]
            if "messages" in body:
                shown = [{"token": text, "logprob": table[text], "bytes": None} for text in likeliest]
                choice["logprobs"] = {"content": [{"token": word, "logprob": table[word], "top_logprobs": shown}]}
            else:
                shown = {text: table[text] for text in likeliest}
                choice["logprobs"] = {"tokens": [word], "token_logprobs": [table[word]], "top_logprobs": [shown]}
        if "messages" in body:
            choice["message"] = {"role": "assistant", "content": choice.pop("text")}
        return choice

    def native(self, prompt):
        """SGLang's own format."""
        line = self.line(prompt)
        told = {
            "input_token_logprobs": [[log, token_id(text), text] for text, log, _ in line],
            "input_top_logprobs": [
                None if log is None else [[best, 7, word] for word, best in (top(above) or {text: log}).items()]
                for text, log, above in line
            ],
        }
        return {"text": " so", "meta_info": {"prompt_tokens": len(line), **told}}
