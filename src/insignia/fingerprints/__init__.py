"""Fingerprint sets and their files: our format, OML's, Perinucleus' and users' own rows, locked or plain.

Which keys may be asked is decided in :mod:`insignia.keyring`.
"""
