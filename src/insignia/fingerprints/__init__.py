"""Fingerprint sets as records and as files: ours, OML's and Perinucleus', users' own rows; locked and plain.

Nothing here asks a model, and nothing decides which keys may be asked: that is :mod:`insignia.keyring`.
"""
