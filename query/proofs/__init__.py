"""Proofs of delivery: signed documents that anybody can check without this server."""
