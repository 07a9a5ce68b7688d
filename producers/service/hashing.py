"""BLAKE2b, which Python has built in; `hashlib` hands out the very same, and loads OpenSSL for others: 4 MB."""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # a Python that was built without it
    from hashlib import blake2b

__all__ = ["blake2b"]
