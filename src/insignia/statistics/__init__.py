"""Nulls, exact tail probabilities, sequential tests and forecasts.

Functions of numbers only: nothing here knows a model, a fingerprint or a file.
"""
