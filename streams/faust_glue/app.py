"""The Faust app of the join: its settings, its table, its agent, and nothing else."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import faust
from postwatch.producers.service.errors import BadInputError, SettingsError
from postwatch.producers.service.health import Health
from postwatch.producers.service.kafka import KafkaWatch
from postwatch.producers.service.kafka_settings import MAX_MESSAGE_BYTES, OAUTH, KafkaSettings
from postwatch.producers.service.outages import OutageLog
from postwatch.producers.service.systemd import Systemd
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.enrichment.hosted_domains import DomainsSource, follow, read_domains
from postwatch.streams.enrichment.reasons import BUILT_IN
from postwatch.streams.enrichment.reasons_file import read_reasons
from postwatch.streams.enrichment.trusted_networks import parse_networks
from postwatch.streams.faust_glue.changelog_topic import TABLE, changelog_topic
from postwatch.streams.faust_glue.lease import Lease
from postwatch.streams.faust_glue.oauth import TokenSource
from postwatch.streams.faust_glue.table import Tables, end_on_failed_writes, unpack_fetches
from postwatch.streams.faust_glue.topic_watch import LOOK_EVERY_SECONDS, TopicWatch
from postwatch.streams.faust_glue.transport import use_transport
from postwatch.streams.faust_glue.worker import TEND_EVERY_SECONDS, JoinWorker, fail
from postwatch.streams.parsers.timestamps import find_zone
from postwatch.streams.partition.other_shippers import OtherShippers, read_hosts
from postwatch.streams.partition.outlet import KafkaOutlet
from postwatch.streams.partition.partition_join import JoinRules
from postwatch.streams.settings import JoinSettings
from yarl import URL

_DOMAINS_SETTING = "POSTWATCH_JOIN_DOMAINS_FILE"
_HOSTS_SETTING = "POSTWATCH_JOIN_HOSTS_FILE"
RECORDS_A_FETCH = 200
_SESSION_SECONDS = 6.0
FETCH_BYTES = 1024 * 1024
_WAITING_FETCHES = 8
"""Of all partitions, read but not joined yet; Faust's default is 4,096 events, which here are fetches."""
_RESTORED_FETCHES = 2
"""Written together when the table is restored. With 1, Faust goes on reading the changelog of the partitions that this
worker writes, and each entry would come back late, in place of a newer one."""
_ROCKSDB = {
    "write_buffer_size": 2 * 1024 * 1024,
    "max_write_buffer_number": 2,
    "target_file_size_base": 8 * 1024 * 1024,
    "block_cache_size": 4 * 1024 * 1024,
    "block_cache_compressed_size": 1024 * 1024,
}
"""For each partition; the default is a cache of 2 GiB."""


def join_rules(settings: JoinSettings) -> JoinRules:
    """The settings as the join wants them. Raises SettingsError that names the variable."""
    try:
        find_zone(settings.timezone, "POSTWATCH_JOIN_TIMEZONE")
        domains = read_domains(settings.domains_file, _DOMAINS_SETTING) if settings.domains_file else None
        trusted = parse_networks(settings.trusted_networks, "POSTWATCH_JOIN_TRUSTED_NETWORKS")
    except BadInputError as error:
        raise SettingsError(str(error)) from error
    return JoinRules(
        accounts=AccountBook(domains, trusted),
        timezone=settings.timezone,
        keep_lines=settings.log_lines,
        pending_after_ms=round(settings.pending_after_seconds * 1000),
        park_after_ms=round(settings.park_after_seconds * 1000),
        give_up_after_ms=round(settings.give_up_after_days * 86_400_000),
        reasons=read_reasons(settings.reasons_file, "POSTWATCH_JOIN_REASONS_FILE")
        if settings.reasons_file
        else BUILT_IN,
        wrapping_programs=settings.wrapping_programs,
        other_shippers=OtherShippers(
            settings.line_fields, read_hosts(settings.hosts_file, _HOSTS_SETTING) if settings.hosts_file else ()
        ),
    )


def create_app(
    settings: JoinSettings, kafka: KafkaSettings, partitions: int, health: Health, outage: OutageLog, systemd: Systemd
) -> tuple[Any, JoinWorker]:
    """The app, ready to be run by a Faust worker, and the join in it. `outage` is Kafka's."""
    app = faust.App(
        settings.group,
        broker=[URL(f"kafka://{broker}") for broker in kafka.brokers.split(",")],
        broker_credentials=_credentials(kafka),
        datadir=settings.data_dir,
        store="rocksdb://",
        TableManager=Tables,
        web_enabled=False,
        processing_guarantee="at_least_once",
        stream_wait_empty=False,  # a rebalance would wait for acknowledgements that can't come any more
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=partitions,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_BYTES,
        broker_max_poll_records=RECORDS_A_FETCH,
        stream_buffer_maxsize=_WAITING_FETCHES,
        broker_session_timeout=_SESSION_SECONDS,
        broker_heartbeat_interval=1.0,
        broker_commit_interval=1.0,
        producer_max_request_size=MAX_MESSAGE_BYTES,
        producer_acks=-1,
    )
    lease = Lease(_SESSION_SECONDS)
    use_transport(app, kafka.raw_topic, lease, fail)
    table = app.Table(
        TABLE,
        key_type=bytes,
        value_type=bytes,
        partitions=partitions,
        options=dict(_ROCKSDB),
        recovery_buffer_size=_RESTORED_FETCHES,
        standby_buffer_size=1,
    )
    unpack_fetches(table.data)
    end_on_failed_writes(table.data, fail)
    raw = app.topic(kafka.raw_topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    rules = join_rules(settings)
    if settings.domains_file:
        follow(DomainsSource(settings.domains_file, _DOMAINS_SETTING), rules.accounts.use)
    worker = JoinWorker(app, table, kafka.raw_topic, rules, health, lease)
    worker.use_outlet(lambda loop: KafkaOutlet(kafka, loop, fail, KafkaWatch(kafka, outage)))

    @app.agent(raw, concurrency=1)
    async def join(stream: Any) -> None:
        await worker.consume(stream)

    @app.timer(interval=TEND_EVERY_SECONDS)  # type: ignore[untyped-decorator]
    async def tend() -> None:
        systemd.ready()  # timers begin when this worker is in the group, and its table is restored
        worker.tend()

    watch = TopicWatch(kafka, {kafka.raw_topic: partitions, changelog_topic(settings): partitions})

    @app.timer(interval=LOOK_EVERY_SECONDS)  # type: ignore[untyped-decorator]
    async def look() -> None:
        change = await asyncio.get_running_loop().run_in_executor(None, watch.look)
        if change is not None:
            fail(change.reason, change.remedy)

    @app.on_partitions_revoked.connect
    @app.on_before_shutdown.connect  # the consumer leaves the group after that
    async def revoked(*_: Any, **__: Any) -> None:
        await worker.revoke_all()

    @app.on_before_shutdown.connect
    async def stopping(*_: Any, **__: Any) -> None:
        systemd.stopping()

    return app, worker


def _credentials(kafka: KafkaSettings) -> Any:
    protocol = kafka.security_protocol.lower()
    context = None
    if protocol.endswith("ssl"):
        context = ssl.create_default_context(cafile=kafka.ssl_ca_file or None)
        if kafka.ssl_certificate_file:
            context.load_cert_chain(kafka.ssl_certificate_file, kafka.ssl_key_file)
    if kafka.sasl_mechanism == OAUTH:
        return faust.OAuthCredentials(oauth_cb=TokenSource(kafka), ssl_context=context)
    if protocol.startswith("sasl"):
        return faust.SASLCredentials(
            mechanism=kafka.sasl_mechanism,
            username=kafka.sasl_username,
            password=kafka.sasl_password,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None
