"""`postwatch serve`: the Track Delivery page and the JSON API, behind a log-in, or for this machine only."""

from __future__ import annotations

import argparse
import threading

from postwatch.producers.service.health import Health
from postwatch.producers.service.logs import configure_logs
from postwatch.producers.service.memory import bound_heap
from postwatch.producers.service.outages import OutageLog
from postwatch.producers.service.settings import load
from postwatch.query.settings import QuerySettings
from postwatch.streams.settings import ClickHouseSettings


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "POSTWATCH_QUERY_LISTEN sets the address (default: 127.0.0.1:8080). POSTWATCH_ACCESS_IMAP turns log-in on."
        " Without it only loopback addresses are allowed; from another machine, use a tunnel:"
        " ssh -L 8080:127.0.0.1:8080 MACHINE. All settings are in deploy/SETTINGS.md."
    )


def run(arguments: argparse.Namespace) -> int:
    # A second and more; `--help` does not wait for it.
    from postwatch.query.access.entrance import open_entrance
    from postwatch.query.access.openid_settings import OpenIdSettings
    from postwatch.query.access.owners import open_owners
    from postwatch.query.access.settings import AccessSettings
    from postwatch.query.proofs.issuer import open_issuer
    from postwatch.query.proofs.settings import ProofSettings
    from postwatch.query.reader import TableReader, WatchedReader
    from postwatch.query.report_service import report_service
    from postwatch.query.server import address_of, create_app, open_listener, serve

    bound_heap()
    query_settings = load(QuerySettings)
    clickhouse_settings = load(ClickHouseSettings)
    health = Health()
    read = WatchedReader(TableReader(query_settings, clickhouse_settings), OutageLog("clickhouse", health))
    service = report_service(read, query_settings, clickhouse_settings)
    access = load(AccessSettings)
    entrance = open_entrance(access, load(OpenIdSettings))
    if entrance is None:  # reports by owner need the lists without a log-in too
        owners = open_owners(access)
        owners.follow(threading.Event().wait)
        service.owners = lambda: owners.names
    app = create_app(
        service,
        language=query_settings.language,
        zone=query_settings.time_zone,
        max_downloads=query_settings.max_downloads,
        entrance=entrance,
        proofs=open_issuer(load(ProofSettings)),
    )
    listener = open_listener(query_settings.listen, entrance.door.site if entrance else None)
    configure_logs("query")
    if entrance is None:
        print(f"Track Delivery: {address_of(listener)} (this machine only: log-in is off)", flush=True)
        serve(app, listener, health)
        return 0
    print(f"Track Delivery: {entrance.door.site.url or address_of(listener)}", flush=True)
    entrance.start()
    try:
        serve(app, listener, health)
    finally:
        entrance.close()
    return 0
