"""Attacks: what others do to a marked model, one file each."""
