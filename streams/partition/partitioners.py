"""To which partition a server's records go: what the shippers and other senders do, computed. Pure.

Our shipper and Java's clients hash the key by murmur2. rsyslog, Vector and Fluent Bit use librdkafka as it comes, which
hashes it by CRC-32.
"""

from __future__ import annotations

import zlib

_FOUR_BYTES = 0xFFFFFFFF
_M, _R, _SEED = 0x5BD1E995, 24, 0x9747B28C


def partition_by_murmur2(key: bytes, partitions: int) -> int:
    """`murmur2` and `murmur2_random` of librdkafka, the default of Java's clients."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def partition_by_crc32(key: bytes, partitions: int) -> int:
    """`consistent` and `consistent_random` of librdkafka, its default."""
    return zlib.crc32(key) % partitions


def _murmur2(key: bytes) -> int:
    """MurmurHash2 of 32 bits, as org.apache.kafka.common.utils.Utils has it."""
    length = len(key)
    h = _SEED ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(key[start : start + 4], "little") * _M & _FOUR_BYTES
        k = (k ^ k >> _R) * _M & _FOUR_BYTES
        h = (h * _M & _FOUR_BYTES) ^ k
    if whole < length:
        h = (h ^ int.from_bytes(key[whole:], "little")) * _M & _FOUR_BYTES
    h = (h ^ h >> 13) * _M & _FOUR_BYTES
    return h ^ h >> 15
