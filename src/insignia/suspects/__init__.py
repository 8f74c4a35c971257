"""Models that can be asked: the protocols, OpenAI-compatible endpoints, and scripted replies for tests. No torch.

Local models implement the same protocols in :mod:`insignia.modeling`.
"""
