"""Local models: loading, scoring, sampling, LoRA adapters, saving. Needs torch.

Model folders are untrusted input: only safetensors and JSON are read, never pickles, and no code runs.
"""
