"""What others do to a marked model: attacks, such as fine-tuning it on data of their own.

One file for each attack. How the owner marks a model is :mod:`insignia.embedding`'s.
"""
