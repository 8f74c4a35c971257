"""How unlikely chance is: nulls, exact tails, evidence that may be looked at after every trial, forecasts.

Numbers in, numbers out. No model, no fingerprint and no file is known here.
"""
