"""Commitments, signatures, time stamps, evidence bundles and their audit, with the Merkle trees and hash chains they need."""
