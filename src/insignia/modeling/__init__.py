"""Models on this machine: loading, scoring, sampling, low-rank adapters, saving. From here up, torch is needed.

Folders of others are read with suspicion: safetensors and JSON only, never pickle, never code.
"""
