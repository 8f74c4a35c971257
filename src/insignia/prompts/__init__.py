"""Questions and training rows: from a fingerprint or a conversation to token ids. No torch."""
