"""What an owner keeps and how an owner asks: sets with their labels, the ledger of spent keys, and every way to use them.

The rules of a test and the verdict are :mod:`insignia.verification`'s; what a sceptic checks is :mod:`insignia.evidence`'s.
Nothing here loads torch: a model on this machine comes from :mod:`insignia.modeling`, which is imported when one is named.
"""
