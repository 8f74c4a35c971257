"""Copies for licensees: who is given which blocks of fingerprints, and who leaked a copy.

The arithmetic is :mod:`insignia.statistics.tracing`'s. Nothing here loads torch until a copy is written or a model is asked.
"""
