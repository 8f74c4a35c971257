"""Whoever can be asked: the protocols, an OpenAI-compatible API, and scripted replies for tests.

A model on this machine implements the same protocols from :mod:`insignia.modeling`. No torch here.
"""
