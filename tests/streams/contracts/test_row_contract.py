"""Records of older and newer versions: defaults for what is missing, nothing of what is unknown, no number wrapped."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.contracts import outcome, outcome_records
from postwatch.streams.contracts.arrow_stream import decode_stream, encode_stream
from postwatch.streams.contracts.columns import NESTED, TEXT, TEXTS, TIME, UINT8, UINT16, About, columns_of
from postwatch.streams.contracts.outcome import Attempt, Outcome
from postwatch.streams.contracts.row_contract import DecodedRecord, RowContract


class Try(NamedTuple):
    at: Annotated[int, About(TIME, "")] = 0
    code: Annotated[int, About(UINT16, "")] = 200
    host: Annotated[str, About(TEXT, "")] = ""


class Thing(NamedTuple):
    name: Annotated[str, About(TEXT, "", is_required=True)] = ""
    size: Annotated[int, About(UINT8, "")] = 7
    tries: Annotated[tuple[Try, ...], About(NESTED, "")] = ()
    lines: Annotated[tuple[str, ...], About(TEXTS, "")] = ()


CONTRACT = RowContract("a thing", columns_of(Thing))
WHOLE = pa.Table.from_pydict(
    {
        "name": ["a", "ö"],
        "size": [1, 2],
        "tries.at": [[5, 6], []],
        "tries.code": [[250, 450], []],
        "tries.host": [["mx1", "mx2"], []],
        "lines": [["x"], ["y", "z"]],
    },
    CONTRACT.schema,
)


def decoded(table: pa.Table) -> DecodedRecord:
    record = CONTRACT.decode(encode_stream(table))
    record.rows.validate(full=True)
    assert record.rows.schema.equals(CONTRACT.schema, check_metadata=True)
    return record


def with_column(name: str, values: Any, kind: pa.DataType) -> pa.Table:
    """WHOLE with other values in a column that it has, or with one more."""
    column = pa.array(values, kind)
    if name in WHOLE.column_names:
        return WHOLE.set_column(WHOLE.column_names.index(name), name, column)
    return WHOLE.append_column(name, column)


def test_a_record_of_this_version_is_read_as_it_is() -> None:
    assert CONTRACT.decode(encode_stream(WHOLE)) == DecodedRecord(WHOLE)


def test_missing_columns_get_their_defaults() -> None:
    record = decoded(WHOLE.select(["name", "tries.at"]))
    assert record.missing == ("size", "tries.code", "tries.host", "lines")
    assert record.rows.to_pydict() == {
        **WHOLE.to_pydict(),
        "size": [7, 7],
        "tries.code": [[200, 200], []],  # as many as there are attempts
        "tries.host": [["", ""], []],
        "lines": [[], []],
    }
    assert (record.unknown, record.unfit) == ((), ())


def test_a_nested_column_of_which_nothing_is_known_is_empty() -> None:
    rows = decoded(WHOLE.select(["name", "size", "lines"])).rows
    assert rows["tries.at"].to_pylist() == rows["tries.host"].to_pylist() == [[], []]


def test_unknown_columns_are_left_out_whatever_they_hold() -> None:
    table = with_column("new", [None, {"a": 1}], pa.struct({"a": pa.int8()}))
    record = decoded(table.append_column("tries.new", pa.array([[1.5, 2.5], []], pa.list_(pa.float64()))))
    assert record == DecodedRecord(WHOLE, unknown=("new", "tries.new"))


def test_a_name_in_another_case_is_unknown() -> None:
    record = decoded(WHOLE.rename_columns({"size": "Size"}))
    assert (record.unknown, record.missing) == (("Size",), ("size",))
    assert record.rows["size"].to_pylist() == [7, 7]


def test_columns_in_another_order_are_the_same() -> None:
    assert decoded(WHOLE.select(WHOLE.column_names[::-1])) == DecodedRecord(WHOLE)


def test_other_columns_alone_are_no_record() -> None:
    with pytest.raises(ValueError, match="the columns are not those of a thing: name missing"):
        CONTRACT.decode(encode_stream(WHOLE.drop_columns(["name"])))


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two have the same name"):
        CONTRACT.decode(encode_stream(WHOLE.append_column("name", WHOLE["name"])))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("size", pa.int64()),
        ("tries.code", pa.list_(pa.uint64())),
        ("tries.code", pa.large_list(pa.int16())),
        ("tries.at", pa.list_(pa.timestamp("us", tz="Europe/Berlin"))),
        ("name", pa.large_string()),
        ("name", pa.dictionary(pa.int8(), pa.string())),
        ("lines", pa.list_(pa.large_string())),
    ],
)
def test_a_wider_type_whose_values_fit_is_read(name: str, kind: pa.DataType) -> None:
    wider = with_column(name, WHOLE[name].cast(kind).to_pylist(), kind)
    assert wider.schema.field(name).type == kind
    assert decoded(wider) == DecodedRecord(WHOLE)


@pytest.mark.parametrize("number", [256, -1, 70_000, 2**63 - 1, -(2**63)])
def test_a_number_that_does_not_fit_takes_its_row_out_and_no_other(number: int) -> None:
    table = with_column("size", [1, number], pa.int64())
    record = decoded(table)
    assert record.rows.equals(WHOLE.slice(0, 1))
    [unfit] = record.unfit
    assert unfit.said == f"size: {number} is out of range for uint8"
    assert decode_stream(unfit.value).equals(table.slice(1, 1))  # a reader that has room for it can read it


def test_a_number_of_an_attempt_that_does_not_fit_takes_the_row_of_its_message_out() -> None:
    table = with_column("tries.code", [[250, 70_000], []], pa.list_(pa.int32()))
    record = decoded(table)
    assert record.rows.equals(WHOLE.slice(1, 1).combine_chunks())
    assert [unfit.said for unfit in record.unfit] == ["tries.code: 70000 is out of range for uint16"]


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("size", ["1", "2"], pa.string()),
        ("size", [1.0, 2.0], pa.float64()),
        ("size", [1, None], pa.uint8()),
        ("name", [1, 2], pa.int64()),
        ("name", [b"a", b"b"], pa.binary()),
        ("lines", [["x"], None], pa.list_(pa.string())),
        ("lines", [["x"], [None]], pa.list_(pa.string())),
        ("lines", ["x", "y"], pa.string()),
        ("tries.at", [[1, 2], []], pa.list_(pa.timestamp("ms"))),
        ("tries.at", [[1, 2], []], pa.list_(pa.timestamp("ns", tz="UTC"))),
        ("tries.at", [[2**62, 2], []], pa.list_(pa.timestamp("s", tz="UTC"))),
        ("tries.at", [[1, 2], []], pa.list_(pa.int64())),
    ],
)
def test_values_of_another_kind_are_refused(name: str, values: list[Any], kind: pa.DataType) -> None:
    with pytest.raises(ValueError, match=name if "NULL" in name else "column"):
        CONTRACT.decode(encode_stream(with_column(name, values, kind)))


def test_a_record_of_no_rows_or_of_many_batches_is_read() -> None:
    assert decoded(WHOLE.slice(0, 0).drop_columns(["size"])).rows.num_rows == 0
    parts = pa.concat_tables([WHOLE, WHOLE, WHOLE]).drop_columns(["tries.host"])
    assert decoded(parts).rows["tries.host"].to_pylist() == [["", ""], []] * 3


KINDS = st.sampled_from(
    [pa.uint8(), pa.int64(), pa.string(), pa.list_(pa.string()), pa.list_(pa.uint16()), pa.list_(TIME.arrow)]
)


@given(st.lists(st.tuples(st.sampled_from([*CONTRACT.schema.names, "Name", "new"]), KINDS), max_size=8))
def test_any_columns_are_read_or_refused(columns: list[tuple[str, pa.DataType]]) -> None:
    arrays = [
        pa.repeat(pa.scalar([] if pa.types.is_list(kind) else 0, kind), 2) for _, kind in columns if kind != pa.string()
    ]
    names = [name for name, kind in columns if kind != pa.string()]
    table = pa.Table.from_arrays([*arrays, pa.array(["a", "b"])], [*names, "name"])
    try:
        record = CONTRACT.decode(encode_stream(table))
    except ValueError:
        return
    record.rows.validate(full=True)
    assert record.rows.num_rows + len(record.unfit) == 2


def test_every_column_of_an_outcome_but_the_required_ones_may_be_missing() -> None:
    row = Outcome(queue_id="1", version=1, attempts=(Attempt(at=1),))
    table = pa.Table.from_batches([outcome_records.to_batch([row])])
    for name in table.column_names:
        required = next((one.about.is_required for one in outcome.COLUMNS if one.name == name), False)
        value = encode_stream(table.drop_columns([name]))
        if required:
            with pytest.raises(ValueError, match=f"not those of an outcome: {name} missing"):
                outcome_records.decode_outcomes(value)
        elif name != "attempts.at":
            assert outcome_records.from_table(outcome_records.decode_outcomes(value)) == [row]
    required_names = {one.name for one in outcome.COLUMNS if one.about.is_required}
    assert required_names >= {*outcome.KEY, "version", "is_deleted"}
