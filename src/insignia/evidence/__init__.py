"""What an owner publishes and a sceptic re-checks: commitments, signatures, time stamps, bundles, the audit.

Merkle trees and chains of hashes live here too. Asking and judging are :mod:`insignia.verification`'s.
"""
