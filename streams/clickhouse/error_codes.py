"""ClickHouse's error codes (its src/Common/ErrorCodes.cpp), and what each means for an insert or a query.

An insert: the rows' fault, too much at once, or neither. Only codes that the values of a row cause are the rows' fault;
a column of another type than ours is the table's. What fails in a materialized view is the view's fault, for the table
has taken the rows. An unknown code is retried: the rows can still be written later, and /health shows the error.
"""

from __future__ import annotations

import re

from postwatch.producers.service.errors import PostwatchError, UnavailableError
from postwatch.streams.errors import OversizedInsertError, RefusedRowsError

ROWS_AT_FAULT = {
    6: "CANNOT_PARSE_TEXT",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    69: "ARGUMENT_OUT_OF_BOUND",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    128: "TOO_LARGE_ARRAY_SIZE",
    131: "TOO_LARGE_STRING_SIZE",
    190: "SIZES_OF_ARRAYS_DONT_MATCH",
    248: "INVALID_PARTITION_VALUE",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    366: "SIZES_OF_NESTED_COLUMNS_ARE_INCONSISTENT",
    395: "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
    407: "DECIMAL_OVERFLOW",
    469: "VIOLATED_CONSTRAINT",
    675: "CANNOT_PARSE_IPV4",
    676: "CANNOT_PARSE_IPV6",
    691: "UNKNOWN_ELEMENT_OF_ENUM",
}

TOO_MUCH_AT_ONCE = {
    158: "TOO_MANY_ROWS",
    241: "MEMORY_LIMIT_EXCEEDED",
    307: "TOO_MANY_BYTES",
    396: "TOO_MANY_ROWS_OR_BYTES",
    565: "TOO_MANY_PARTITIONS",
}
TABLES_MISSING = {47: "UNKNOWN_IDENTIFIER", 60: "UNKNOWN_TABLE", 81: "UNKNOWN_DATABASE"}
QUERY_TOO_LARGE = {
    158: "TOO_MANY_ROWS",
    159: "TIMEOUT_EXCEEDED",
    160: "TOO_SLOW",
    241: "MEMORY_LIMIT_EXCEEDED",
    307: "TOO_MANY_BYTES",
    396: "TOO_MANY_ROWS_OR_BYTES",
}
MEMORY_LIMIT_EXCEEDED = 241
TOO_LONG = (159, 160)
TOO_MANY_ROWS = 158  # refused before anything is read
TOO_MANY_QUERIES = {202: "TOO_MANY_SIMULTANEOUS_QUERIES"}
TOO_MANY_PARTS = 252  # of the table, which only waiting cures; or partitions of one insert, which halving cures

_MIGRATE = "create or upgrade the tables with `postwatch migrate`"
_LOG_IN = "check POSTWATCH_CLICKHOUSE_USER and POSTWATCH_CLICKHOUSE_PASSWORD"
REMEDIES = {
    8: _MIGRATE,
    10: _MIGRATE,
    16: _MIGRATE,
    20: _MIGRATE,
    53: _MIGRATE,
    60: _MIGRATE,
    70: _MIGRATE,
    81: _MIGRATE,
    192: _LOG_IN,
    193: _LOG_IN,
    194: _LOG_IN,
    516: _LOG_IN,
    164: "give the user of POSTWATCH_CLICKHOUSE_USER the right to write",
    497: "give the user of POSTWATCH_CLICKHOUSE_USER this right: docs/secured-clickhouse.md has the roles",
    243: "free space on ClickHouse's disks",
    TOO_MANY_PARTS: (
        "wait until ClickHouse has merged its parts; "
        "raise POSTWATCH_SINK_MAX_WAIT_MS and POSTWATCH_SINK_BUSY_WAIT_MS if it comes again"
    ),
}
"""What to do about a code that is not the rows' fault, where there is something to do but to wait."""

MAX_WORDS = 1_000
"""Characters; ClickHouse may quote a whole row."""

_FAILED_VIEW = re.compile(
    r": while pushing to view ([\w.`]+)(?: \([0-9a-f-]{36}\))?\. \([A-Z_0-9]+\)"
    r"(?: \(version [\w. ]+(?:\([\w ]+\))?\))?(?: \(for url [^()]*\))?\s*$"
)
"""At the end alone: before that, ClickHouse may quote a row, and a stranger wrote that."""
_WORDS = re.compile(r"\b(Code: \d+\..*?)(?: \(for url [^)]*\))?$", re.DOTALL)


def classify_error(code: int, text: str) -> PostwatchError:
    """ClickHouse's error code and words → what the sink is to do about it."""
    if code in ROWS_AT_FAULT:
        if view := _FAILED_VIEW.search(text):
            return UnavailableError(
                f"{explain(code, text)}; the rows are stored, but not by the view {view[1]}: mend it"
            )
        return RefusedRowsError(explain(code, text))
    if code in TOO_MUCH_AT_ONCE or (code == TOO_MANY_PARTS and "partitions" in text):
        return OversizedInsertError(explain(code, text))
    return UnavailableError(explain(code, text))


def explain(code: int, text: str) -> str:
    """The words on one line, without what the driver puts around them, and the remedy where there is one."""
    found = _WORDS.search(text)
    words = " ".join((found[1] if found else text).split())[:MAX_WORDS]
    return f"{words}; {REMEDIES[code]}" if code in REMEDIES else words
