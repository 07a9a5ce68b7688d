"""`postwatch serve`: the Track Delivery page and the JSON API, for this machine only until there is a log-in."""

from __future__ import annotations

import argparse

from postwatch.producers.service.health import Health
from postwatch.producers.service.logs import configure_logs
from postwatch.producers.service.memory import bound_heap
from postwatch.producers.service.outages import OutageLog
from postwatch.producers.service.settings import load
from postwatch.query.reader import TableReader, WatchedReader
from postwatch.query.report_service import ReportService
from postwatch.query.server import address_of, create_app, open_listener, serve
from postwatch.query.settings import QuerySettings
from postwatch.streams.settings import ClickHouseSettings, JoinSettings


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "POSTWATCH_QUERY_LISTEN sets the address (default: 127.0.0.1:8080). There is no log-in yet, so only loopback"
        " addresses are allowed. From another machine, use a tunnel: ssh -L 8080:127.0.0.1:8080 MACHINE"
    )


def run(arguments: argparse.Namespace) -> int:
    bound_heap()
    query_settings = load(QuerySettings)
    clickhouse_settings = load(ClickHouseSettings)
    read = WatchedReader(TableReader(query_settings, clickhouse_settings), OutageLog("clickhouse", Health()))
    service = ReportService(read, query_settings, clickhouse_settings, load(JoinSettings))
    app = create_app(service, language=query_settings.language, max_downloads=query_settings.max_downloads)
    listener = open_listener(query_settings.listen)
    configure_logs("query")
    print(f"Track Delivery: {address_of(listener)} (this machine only: there is no log-in yet)", flush=True)
    serve(app, listener)
    return 0
