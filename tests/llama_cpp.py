"""llama.cpp's server in this process, from the wheel of ``xllamacpp``; tests that need it are skipped without."""

import json
import urllib.request

import pytest


class LlamaServer:
    """A GGUF file, served. Stops when nothing refers to it any more."""

    def __init__(self, path):
        xllamacpp = pytest.importorskip("xllamacpp")
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.port = 0
        params.n_ctx, params.n_parallel = 2048, 4
        params.n_gpu_layers = 0
        params.warmup = False
        params.offline = True
        params.verbosity = -1
        # Its threads wait for one another by spinning: on two busy cores two take a thousand times as long as one.
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        # Its cache rounds to half floats, and near ties would fall otherwise.
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        self._server = xllamacpp.Server(params)
        self.address = self._server.listening_address

    def tokenize(self, text):
        return self._post("/tokenize", content=text, add_special=True, parse_special=True)["tokens"]

    def greedy(self, ids, length):
        reply = self._post("/completion", prompt=ids, n_predict=length, temperature=0, return_tokens=True, cache_prompt=False)
        return reply["tokens"]

    def log_probabilities(self, ids, tokens):
        """Of each token to be the next one; without ``ignore_eos`` there are none where EOS is."""
        wanted = {"n_predict": 1, "temperature": 0, "n_probs": tokens, "ignore_eos": True, "cache_prompt": False}
        reply = self._post("/completion", prompt=ids, **wanted)
        (after,) = reply["completion_probabilities"]
        return {one["id"]: one["logprob"] for one in after["top_logprobs"]}

    def _post(self, path, **body):
        request = urllib.request.Request(  # noqa: S310  an address of ours
            f"{self.address}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310  likewise
            return json.load(response)
