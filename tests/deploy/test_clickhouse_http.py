"""ClickHouse's HTTP interface as clickhouse-connect and curl use it, over the real engine."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier

import clickhouse_connect
import cramjam
import httpx
import lz4.frame
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from postwatch.deploy.embedded.chdb_engine import split_insert
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.embedded.clickhouse_http import decompress
from postwatch.producers.service.errors import UnavailableError
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.waiting import PATIENCE

pytestmark = pytest.mark.stack

HOSTILE = "it's \\ \t\n \" größe {x:String} '); DROP TABLE words; --"


@pytest.fixture
def client(database: ClickHouseSettings) -> Client:
    client = connect(database)
    client.command("CREATE TABLE words (n UInt64, word String) ENGINE MergeTree ORDER BY n")
    return client


def words(client: Client) -> list[tuple[int, str]]:
    return [(int(n), str(word)) for n, word in client.query("SELECT * FROM words ORDER BY n").result_rows]


def test_commands_and_queries(client: Client) -> None:
    assert str(client.server_version).startswith("26.")
    assert client.command("SELECT 1") == 1
    assert client.query("SELECT number, toString(number) FROM numbers(3)").result_rows == [(0, "0"), (1, "1"), (2, "2")]
    found = client.query("SELECT toDateTime64('2026-11-23 13:42:18.123', 3, 'UTC') AS at, [1, 2] AS list, '' AS none")
    assert found.column_names == ("at", "list", "none")
    assert found.result_rows[0][1:] == ([1, 2], "")
    assert found.result_rows[0][0].replace(tzinfo=UTC) == datetime(2026, 11, 23, 13, 42, 18, 123_000, UTC)
    assert client.query_arrow("SELECT number AS n FROM numbers(2)").to_pylist() == [{"n": 0}, {"n": 1}]


def test_parameters_are_values_whatever_they_hold(client: Client) -> None:
    query = "SELECT {text:String}, {list:Array(String)}, {n:UInt8}, {at:DateTime64(3)}"
    at = datetime(2026, 11, 23, 13, 42, 18, 500_000, UTC)
    values = {"text": HOSTILE, "list": [HOSTILE, "b"], "n": 3, "at": at}
    row = client.query(query, parameters=values).result_rows[0]
    assert (row[0], row[1], row[2]) == (HOSTILE, [HOSTILE, "b"], 3)


def test_inserts_in_every_way(client: Client) -> None:
    client.insert("words", [[1, HOSTILE], [2, ""]], column_names=["n", "word"])
    client.insert_arrow("words", pa.table({"n": pa.array([3], pa.uint64()), "word": ["three"]}))
    client.command("INSERT INTO words VALUES (4, 'four')")
    client.command("INSERT INTO words SELECT 5, 'five'")
    client.raw_insert("words", ["n", "word"], b'{"n": 6, "word": "FORMAT CSV\\n"}\n', fmt="JSONEachRow")
    assert words(client) == [(1, HOSTILE), (2, ""), (3, "three"), (4, "four"), (5, "five"), (6, "FORMAT CSV\n")]


@pytest.mark.parametrize("compression", ["lz4", "zstd", "gzip", False])
def test_compressed_inserts(database: ClickHouseSettings, client: Client, compression: str | bool) -> None:
    squeezing = clickhouse_connect.get_client(dsn=database.url, database=database.database, compress=compression)
    rows = [[n, "word" * 50] for n in range(20_000)]  # several blocks
    squeezing.insert("words", rows, column_names=["n", "word"])
    assert client.command("SELECT count(), sum(n) FROM words") == ["20000", str(sum(range(20_000)))]


def test_a_statement_has_its_settings_and_the_next_one_has_not(client: Client) -> None:
    asked = "SELECT getSetting('max_threads'), getSetting('max_execution_time')"
    before = client.query(asked).result_rows
    assert client.query(asked, settings={"max_threads": 3, "max_execution_time": 7}).result_rows == [(3, 7)]
    with pytest.raises(DatabaseError):
        client.query("SELECT nothing", settings={"max_threads": 5})
    assert {tuple(client.query(asked).result_rows) for _ in range(10)} == {tuple(before)}


def test_settings_bind(client: Client) -> None:
    with pytest.raises(DatabaseError, match="TIMEOUT_EXCEEDED") as caught:
        client.query("SELECT sum(sipHash64(number)) FROM numbers(1e12)", settings={"max_execution_time": 0.2})
    assert caught.value.code == 159


@pytest.mark.parametrize(
    ("statement", "code", "words"),
    [
        ("SELECT broken(", 62, "Syntax error"),
        ("SELECT * FROM nosuch", 60, "nosuch"),
        ("SELECT {x:UInt8}", 456, "Substitution"),
        ("INSERT INTO words FORMAT CSV\nno number,word", 27, "Cannot parse"),
    ],
)
def test_exceptions_have_their_codes(client: Client, statement: str, code: int, words: str) -> None:
    with pytest.raises(DatabaseError, match=words) as caught:
        client.command(statement)
    assert caught.value.code == code


def test_an_unknown_database_is_said_with_the_remedy(database: ClickHouseSettings) -> None:
    with pytest.raises(UnavailableError, match=r"(?s)nosuch.*postwatch migrate"):
        connect(replace(database, database="nosuch"))


def test_queries_run_at_the_same_time(database: ClickHouseSettings) -> None:
    together = Barrier(4)

    def ask(number: int) -> tuple[int, str]:
        client = connect(database)
        together.wait(PATIENCE)
        # Each sleeps a second; one after the other they would miss the limit of all of them.
        found = client.query(f"SELECT {number}, currentDatabase(), sleep(1)").result_rows[0]
        return int(found[0]), str(found[1])

    with ThreadPoolExecutor(4) as pool:
        began = datetime.now(UTC)
        assert list(pool.map(ask, range(4))) == [(number, database.database) for number in range(4)]
        assert (datetime.now(UTC) - began).total_seconds() < 3.5


def test_one_client_serves_many_threads(client: Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda n: client.query("SELECT {n:UInt32}", parameters={"n": n}).result_rows, range(200))
        )
    assert answers == [[(n,)] for n in range(200)]


@pytest.fixture
def ask(database: ClickHouseSettings) -> Callable[..., httpx.Response]:
    def post(body: bytes = b"", headers: dict[str, str] | None = None, **parameters: str) -> httpx.Response:
        address = {"database": database.database, **parameters}
        return httpx.post(database.url, content=body, params=address, headers=headers)

    return post


def test_as_curl_asks(client: Client, clickhouse: EmbeddedClickHouse, ask: Callable[..., httpx.Response]) -> None:
    assert httpx.get(f"{clickhouse.url}/ping").text == "Ok.\n"
    assert httpx.get(clickhouse.url).text == "Ok.\n"
    assert httpx.get(clickhouse.url, params={"query": "SELECT 1, 'a'"}).text == "1\ta\n"
    found = ask(b"SELECT 1 AS n FORMAT JSONEachRow")
    assert found.json() == {"n": 1}
    assert found.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert ask(b"2 AS n", query="SELECT", default_format="JSONEachRow").json() == {"n": 2}
    added = ask(b"7,seven\n8,eight\n", query="INSERT INTO words FORMAT CSV")
    assert '"written_rows": "2"' in added.headers["X-ClickHouse-Summary"]
    ask(b"INSERT INTO words\n(word, n)\nFORMAT TSV\nnine\t9\n")
    assert words(client) == [(7, "seven"), (8, "eight"), (9, "nine")]
    refused = ask(b"SELECT * FROM nosuch")
    assert refused.status_code == 404
    assert refused.headers["X-ClickHouse-Exception-Code"] == "60"
    assert refused.text.startswith("Code: 60. DB::Exception:")


def test_odd_requests_are_answered(clickhouse: EmbeddedClickHouse, ask: Callable[..., httpx.Response]) -> None:
    assert ask(b"x", {"Content-Encoding": "snappy"}).headers["X-ClickHouse-Exception-Code"] == "48"
    assert ask(b"not lz4", {"Content-Encoding": "lz4"}).headers["X-ClickHouse-Exception-Code"] == "354"
    assert ask(b"").headers["X-ClickHouse-Exception-Code"] == "62"
    assert ask(b"SELECT '\xff'").status_code == 500
    with httpx.Client() as keeping:  # the same connection goes on
        assert keeping.post(clickhouse.url, content=b"SELECT (").status_code == 400
        assert keeping.post(clickhouse.url, content=iter([b"SELECT ", b"1"])).text == "1\n"


@pytest.mark.parametrize(
    ("whole", "statement", "rows"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2\n", b"INSERT INTO t FORMAT CSV\n", b"1,2\n"),
        (b"INSERT INTO t\nFORMAT Native\r\n\x01\n", b"INSERT INTO t\nFORMAT Native\r\n", b"\x01\n"),
        (b"INSERT INTO t VALUES ('FORMAT x\n')", b"INSERT INTO t VALUES ('FORMAT x\n')", b""),
        (b"INSERT INTO t SELECT 1", b"INSERT INTO t SELECT 1", b""),
    ],
)
def test_an_insert_is_split_behind_its_format(whole: bytes, statement: bytes, rows: bytes) -> None:
    assert split_insert(whole) == (statement, rows)


def test_every_encoding_is_undone() -> None:
    plain = b"word" * 1000
    frames = lz4.frame.compress(plain[:1000]) + lz4.frame.compress(plain[1000:])
    assert decompress(frames, "lz4") == plain
    assert decompress(bytes(cramjam.zstd.compress(plain)), "zstd") == plain
    assert decompress(gzip.compress(plain), "gzip") == plain
    assert decompress(zlib.compress(plain), "deflate") == plain
    assert decompress(plain, "") == plain
    for encoding, cut in (("lz4", frames[:-9]), ("gzip", gzip.compress(plain)[:-9]), ("zstd", b"no")):
        with pytest.raises(ValueError, match=f"not valid {encoding}"):
            decompress(cut, encoding)
