"""How much of a mark is left in a GGUF file of each type that llama.cpp serves, and how many keys still prove it.

    python benchmarks/quantised.py [--num-fingerprints 64] [--nucleus-k 16] [--seeds 0]

Marks the starter, exports it with ``insignia export --format gguf``, serves each file with llama.cpp in this process and asks
every key over its API. The marked folder, asked as text in float32, and the unmarked starter's file stand beside it. Needs
xllamacpp; about two minutes a seed on 2 idle cores.
"""

import argparse
import tempfile
from pathlib import Path

import xllamacpp

from insignia.embedding import FullFineTune, RunOptions, embed
from insignia.generation import InverseNucleus, generate
from insignia.gguf import OUTTYPES, export_gguf
from insignia.modeling.local import LocalModel
from insignia.suspects.endpoint import Endpoint
from insignia.verification import verify
from insignia.verification.matching import Match, expected_responses, find
from insignia.verification.protocol import rules_for


def serve(path: Path) -> xllamacpp.Server:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.port, params.n_ctx, params.n_parallel = 0, 2048, 4
    params.offline, params.warmup, params.verbosity = True, False, -1
    # One thread: more wait for one another by spinning, which on busy cores takes a thousand times as long.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(params)


def row(name: str, size: int, prints, suspect) -> None:
    rules = rules_for(prints)
    replies = suspect.reply([fingerprint.asked_key for fingerprint in prints], rules.manner)
    wanted = (expected_responses(fingerprint, prints.max_response_length, Match()) for fingerprint in prints)
    hits = sum(find(reply.text, one, rules.match).hit for reply, one in zip(replies, wanted, strict=True))
    verdict = verify(prints, suspect)
    share = f"{100 * hits / len(prints):5.1f} %"
    print(
        f"{name:16} {size / 1e6:6.2f} MB   FSR {share} ({hits}/{len(prints)})   {verdict.outcome} after {verdict.trials} keys"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-fingerprints", type=int, default=64)
    parser.add_argument("--nucleus-k", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    for seed in options.seeds:
        strategy = InverseNucleus(nucleus_k=options.nucleus_k)
        secret = seed.to_bytes(32, "big")
        prints = generate(LocalModel("starter"), strategy, num_fingerprints=options.num_fingerprints, secret=secret)
        with tempfile.TemporaryDirectory() as folder:
            marked, file = Path(folder) / "marked", Path(folder) / "model.gguf"
            report = embed("starter", prints, FullFineTune(), out=marked, run=RunOptions(seed=seed)).report
            print(f"seed {seed}: {report.steps} steps, FSR {report.fsr:.4f}")
            row("folder, fp32", (marked / "model.safetensors").stat().st_size, prints, LocalModel(marked))
            for model, outtype in [*((marked, outtype) for outtype in OUTTYPES), ("starter", "q8_0"), ("starter", "q4_0")]:
                size = export_gguf(model, file, outtype=outtype, force=True).bytes
                server = serve(file)
                suspect = Endpoint(f"{server.listening_address}/v1", model="suspect")
                row(f"{outtype}{'' if model == marked else ', unmarked'}", size, prints, suspect)
                del server


if __name__ == "__main__":
    main()
