"""From a fingerprint or a conversation to text and token ids: the one place where questions and training rows are built.

What is asked is always a token prefix of what was trained, because both come from here. No torch here.
"""
