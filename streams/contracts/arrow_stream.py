"""Rows as Arrow IPC streams, the values of Kafka records.

What `decode_stream` returns is whole: lengths, offsets and UTF-8 have been checked, so nothing that works on the table
later can run into bytes that a broken producer wrote. Which columns they are is row_contract.py's concern.
"""

from __future__ import annotations

import pyarrow as pa

_OPTIONS = pa.ipc.IpcWriteOptions(compression=None)  # Kafka compresses the record as a whole
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream: a message of no bytes


def encode_stream(rows: pa.RecordBatch | pa.Table) -> bytes:
    """Rows → one Arrow IPC stream."""
    if isinstance(rows, pa.RecordBatch):  # the same bytes in a buffer that need not grow
        return b"".join((rows.schema.serialize(), rows.serialize(), _END))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=_OPTIONS) as writer:
        writer.write(rows)
    return bytes(sink.getvalue())


def decode_stream(value: bytes) -> pa.Table:
    """An Arrow IPC stream → a table of its columns. Raises ValueError, whatever is wrong with the bytes."""
    try:
        table = pa.ipc.open_stream(value).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise ValueError(f"not an Arrow stream: {error}") from error
    return table
