"""All parts against a real broker with TLS, SCRAM, client certificates and access-control lists.

The lists are those of docs/secured-kafka.md, read from the page: what it grants is enough, and no part has more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.settings import ClickHouseSettings

from tests.certificates import make_certificates
from tests.end_to_end.pipeline import Part, Pipeline, running
from tests.secured_kafka.broker import CERTIFIED, OAUTH_CLIENTS, PASSWORD, SecuredKafka
from tests.secured_kafka.rights import documented_grants
from tests.secured_kafka.rsyslog import OMKAFKA, Rsyslog, RsyslogOfJournal, journal_unavailable
from tests.secured_kafka.token_server import SECRET
from tests.waiting import wait_until

PARTS = ("ship", "join", "sink")
NOW = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())


@pytest.fixture
def pipeline(secured: SecuredKafka, database: ClickHouseSettings, tmp_path: Path) -> Iterator[Pipeline]:
    groups = {"POSTWATCH_JOIN_GROUP": "postwatch-join", "POSTWATCH_SINK_GROUP": "postwatch-sink"}
    with running(Pipeline(tmp_path, KafkaSettings(brokers=secured.broker.brokers), database, groups)) as made:
        yield made


def started(pipeline: Pipeline, part: str, settings: dict[str, str]) -> Part:
    """A shipper of one file, a join or a sink."""
    log = pipeline.folder / "mainlog"
    log.touch()
    of_shipper = {
        "POSTWATCH_SHIP_FILES": str(log),
        "POSTWATCH_SHIP_TZ": "UTC",
        "POSTWATCH_SHIP_SERVER": "web1",
        "POSTWATCH_SHIP_CHECKPOINT_FILE": str(pipeline.folder / "checkpoint.json"),
        "POSTWATCH_SHIP_METRICS_ADDRESS": "",
    }
    return pipeline.start(part, part, **(of_shipper if part == "ship" else {}), **settings)


def deliver(pipeline: Pipeline, number: int) -> None:
    """Each test has numbers of its own: lines that an earlier test had acknowledged are skipped, as they should be."""
    queue_id = f"1vM{number:03d}-0000000{number:04d}-Abcd"
    with (pipeline.folder / "mainlog").open("a") as stream:
        stream.write(
            f"{NOW} {queue_id} <= anna@bakery.example H=(laptop) [198.51.100.7] P=esmtpsa "
            f"A=dovecot_login:anna@bakery.example S=900 for user{number}@far.example\n"
            f"{NOW} {queue_id} => user{number}@far.example R=dnslookup T=remote_smtp H=mx.far.example [203.0.113.5]\n"
            f"{NOW} {queue_id} Completed\n"
        )


def rows_of(pipeline: Pipeline, *numbers: int) -> list[dict[str, Any]]:
    """Of these messages: the broker, the groups and what they know are those of all tests here."""
    recipients = {f"user{number}@far.example" for number in numbers}
    return [row for row in pipeline.rows() if row["recipient"] in recipients]


def asked_of_doctor(pipeline: Pipeline, settings: Mapping[str, str]) -> list[dict[str, str]]:
    command = [str(Path(sys.executable).with_name("postwatch")), "doctor", "--json"]
    environment = {**os.environ, **pipeline.environment(), **settings}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout, done.stderr
    findings: list[dict[str, str]] = json.loads(done.stdout)
    return findings


def test_every_part_works_with_the_documented_rights(secured: SecuredKafka, pipeline: Pipeline) -> None:
    for part in PARTS:
        started(pipeline, part, dict(secured.settings_of(f"postwatch-{part}")))
    deliver(pipeline, 1)
    wait_until(lambda: rows_of(pipeline, 1), "the row is in the table", seconds=120)
    findings = asked_of_doctor(pipeline, secured.settings_of("postwatch-doctor"))
    of_kafka = [one for one in findings if one["check"].startswith(("brokers", "topic", "lag", "dead letters"))]
    assert len(of_kafka) >= 6
    assert [one for one in of_kafka if one["state"] != "ok"] == []


fleet_only = pytest.mark.skipif(not os.environ.get("POSTWATCH_FLEET"), reason="takes minutes: `make fleet-test`")

WRONG = {
    "another CA": "shows a certificate that",
    "a wrong password": "refuses the user 'postwatch-{part}'",
    "no certificate": "refuses the client certificate",
    "no TLS": "closes the connection at once",
    "no rights": "or the user 'stranger' may not see it",
    "half the rights": "grant the rights that docs/secured-kafka.md lists",
}


@pytest.fixture(scope="module")
def half(secured: SecuredKafka) -> None:
    """Users who may see what they need, and not do what they must."""
    for part in PARTS:
        secured.add_user(f"half-{part}")
        rights = [grant for grant in documented_grants() if grant.user == f"postwatch-{part}" and grant.kind == "topic"]
        kept = [grant for grant in rights if part != "ship" or grant.operation == "describe"]
        secured.grant(grant._replace(user=f"half-{part}") for grant in kept)


def settings_with(trouble: str, part: str, secured: SecuredKafka, folder: Path) -> dict[str, str]:
    right = dict(secured.settings_of(f"postwatch-{part}"))
    match trouble:
        case "another CA":
            make_certificates(folder)
            return right | {"POSTWATCH_KAFKA_SSL_CA_FILE": str(folder / "ca.pem")}
        case "a wrong password":
            (folder / "password").write_text("not the one")
            return right | {"POSTWATCH_KAFKA_SASL_PASSWORD_FILE": str(folder / "password")}
        case "no certificate":
            certified = secured.settings_of(CERTIFIED)
            return {
                name: value for name, value in certified.items() if not name.endswith(("CERTIFICATE_FILE", "KEY_FILE"))
            }
        case "no TLS":
            return {"POSTWATCH_KAFKA_BROKERS": right["POSTWATCH_KAFKA_BROKERS"]}
        case "no rights":
            return dict(secured.settings_of("stranger"))
    return dict(secured.settings_of(f"half-{part}"))


def _says(part: Part, sentence: str) -> bool:
    return sentence in part.log_file.read_text()


@pytest.mark.parametrize("trouble", WRONG)
def test_each_part_names_what_is_wrong(
    trouble: str, secured: SecuredKafka, half: None, pipeline: Pipeline, tmp_path: Path
) -> None:
    (tmp_path / "wrong").mkdir()
    parts = {part: started(pipeline, part, settings_with(trouble, part, secured, tmp_path / "wrong")) for part in PARTS}
    deliver(pipeline, 1)
    for part, process in parts.items():
        wait_until(partial(_says, process, WRONG[trouble].format(part=part)), f"{part} says what is wrong", seconds=120)
    assert "Traceback" not in "".join(process.log_file.read_text() for process in parts.values())


@pytest.mark.parametrize("trouble", [trouble for trouble in WRONG if trouble != "half the rights"])
def test_doctor_names_what_is_wrong(trouble: str, secured: SecuredKafka, pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    settings = settings_with(trouble, "doctor", secured, tmp_path / "wrong")
    seen = " ".join(finding["seen"] for finding in asked_of_doctor(pipeline, settings))
    assert WRONG[trouble].format(part="doctor").replace("the user 'stranger'", "this user") in seen


def test_a_client_certificate_opens_the_way(secured: SecuredKafka, pipeline: Pipeline) -> None:
    name = f"CN={CERTIFIED}"
    secured.grant(
        grant._replace(user=name)
        for grant in documented_grants()
        if grant.user in {f"postwatch-{part}" for part in PARTS}
    )
    for part in PARTS:
        started(pipeline, part, dict(secured.settings_of(CERTIFIED)))
    deliver(pipeline, 101)
    wait_until(lambda: rows_of(pipeline, 101), "the row is in the table", seconds=120)


def oauth_rights(secured: SecuredKafka) -> None:
    secured.grant(grant._replace(user=grant.user.replace("postwatch-", OAUTH_CLIENTS)) for grant in documented_grants())


def test_a_token_opens_the_way_for_each_part_and_is_renewed(secured: SecuredKafka, pipeline: Pipeline) -> None:
    """Brokers end a log-in after 10 s here; tokens live for 20 s."""
    oauth_rights(secured)
    for part in PARTS:
        started(pipeline, part, dict(secured.settings_of(f"{OAUTH_CLIENTS}{part}")))
    deliver(pipeline, 201)
    wait_until(lambda: rows_of(pipeline, 201), "the row is in the table", seconds=120)

    def complaints() -> list[dict[str, str]]:
        findings = asked_of_doctor(pipeline, secured.settings_of(f"{OAUTH_CLIENTS}doctor"))
        of_kafka = [one for one in findings if one["check"].startswith(("brokers", "topic", "lag", "dead letters"))]
        return [one for one in of_kafka if one["state"] != "ok"]

    wait_until(lambda: not complaints(), "the doctor has no complaints", seconds=60)
    given = secured.tokens.given
    wait_until(lambda: secured.tokens.given >= given + 3, "tokens were renewed", seconds=60)
    deliver(pipeline, 202)
    wait_until(lambda: rows_of(pipeline, 202), "the row of after that is there too", seconds=60)
    assert SECRET not in "".join(process.log_file.read_text() for process in pipeline.parts.values())


@fleet_only
@pytest.mark.parametrize(
    ("name", "wrong", "sentence"),
    [
        ("POSTWATCH_KAFKA_OAUTH_CLIENT_SECRET", "not the one", "no token for Kafka at"),
        ("POSTWATCH_KAFKA_OAUTH_TOKEN_URL", "http://127.0.0.1:1/token", "no token for Kafka at"),
    ],
)
def test_each_part_names_what_is_wrong_with_its_token(
    name: str, wrong: str, sentence: str, secured: SecuredKafka, pipeline: Pipeline
) -> None:
    parts = {}
    for part in PARTS:
        settings = dict(secured.settings_of(f"{OAUTH_CLIENTS}{part}")) | {name: wrong}
        if name.endswith("SECRET"):
            del settings[f"{name}_FILE"]
        parts[part] = started(pipeline, part, settings)
    deliver(pipeline, 1)
    for part, process in parts.items():
        wait_until(partial(_says, process, sentence), f"{part} says what is wrong", seconds=120)
    assert "Traceback" not in "".join(process.log_file.read_text() for process in parts.values())


@fleet_only
def test_what_is_renewed_in_its_file_is_taken_up_by_every_part_that_runs(
    secured: SecuredKafka, pipeline: Pipeline, tmp_path: Path
) -> None:
    """First the CA, while each part waits for a broker that it can't trust; then the password, while all work."""
    (tmp_path / "renewed").mkdir()
    make_certificates(tmp_path / "renewed")
    ca, password = tmp_path / "renewed" / "ca.pem", tmp_path / "renewed" / "password"
    password.write_text(PASSWORD)
    users = {part: f"renewed-{part}" for part in PARTS}
    for part, user in users.items():
        secured.add_user(user)
        rights = [grant for grant in documented_grants() if grant.user == f"postwatch-{part}"]
        secured.grant(grant._replace(user=user) for grant in rights)
        renewed = {"POSTWATCH_KAFKA_SSL_CA_FILE": str(ca), "POSTWATCH_KAFKA_SASL_PASSWORD_FILE": str(password)}
        started(pipeline, part, {**secured.settings_of(user), **renewed, "POSTWATCH_KAFKA_RENEWAL_SECONDS": "1"})
    processes = {name: part.process.pid for name, part in pipeline.parts.items() if part.process}
    deliver(pipeline, 401)
    for part in PARTS:
        wait_until(partial(_says, pipeline.parts[part], "shows a certificate that"), f"{part} waits", seconds=120)
    ca.write_bytes((secured.folder / "ca.pem").read_bytes())
    wait_until(lambda: rows_of(pipeline, 401), "the row is in the table", seconds=180)
    for user in users.values():
        secured.add_user(user, "another password")
    password.write_text("another password")
    for part in PARTS:
        wait_until(partial(_has_begun_anew, pipeline.parts[part], 2), f"{part} begins anew", seconds=120)
    deliver(pipeline, 402)
    wait_until(lambda: rows_of(pipeline, 402), "the row of after that is there too", seconds=180)
    assert {name: part.process.pid for name, part in pipeline.parts.items() if part.process} == processes


def _has_begun_anew(part: Part, times: int) -> bool:
    return part.log_file.read_text().count("part_begins_anew") == times


needs_omkafka = pytest.mark.skipif(
    not OMKAFKA.exists(), reason="no rsyslog with omkafka is installed (Debian: rsyslog rsyslog-kafka)"
)


@needs_omkafka
def test_rsyslog_ships_as_its_file_says_and_repeats_change_nothing(
    secured: SecuredKafka, pipeline: Pipeline, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Debian's, with deploy/shippers/rsyslog.conf: imfile, a queue on disk, omkafka with a client certificate."""
    for part in ("join", "sink"):
        started(pipeline, part, dict(secured.settings_of(f"postwatch-{part}")))
    rights = [grant for grant in documented_grants() if grant.user == "postwatch-ship"]
    secured.grant(grant._replace(user=f"CN={CERTIFIED}") for grant in rights)
    for number in (301, 302, 303):
        deliver(pipeline, number)
    rsyslog = Rsyslog(tmp_path, secured.settings_of(CERTIFIED))
    request.addfinalizer(rsyslog.stop)
    rsyslog.start()
    wait_until(lambda: len(rows_of(pipeline, 301, 302, 303)) == 3, "rows of what stood in the log", seconds=120)
    deliver(pipeline, 304)
    wait_until(lambda: rows_of(pipeline, 304), "rows of what was written since", seconds=60)
    rsyslog.stop()
    deliver(pipeline, 305)
    rsyslog.start()
    wait_until(lambda: rows_of(pipeline, 305), "rows of what was written while it was away", seconds=60)
    before = rows_of(pipeline, *range(301, 306))
    assert {(row["server"], row["status"], row["account"]) for row in before} == {
        ("mail1.example.net", "delivered", "anna@bakery.example")
    }
    rsyslog.stop()
    rsyslog.forget()
    deliver(pipeline, 306)
    rsyslog.start()
    wait_until(lambda: rows_of(pipeline, 306), "it sends everything again", seconds=60)
    assert rows_of(pipeline, *range(301, 306)) == before
    rsyslog.stop()


@needs_omkafka
def test_rsyslog_ships_the_journal(
    secured: SecuredKafka, pipeline: Pipeline, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """imjournal → omkafka, as the comments of deploy/shippers/rsyslog.conf say."""
    if reason := journal_unavailable():
        pytest.skip(reason)
    for part in ("join", "sink"):
        started(pipeline, part, dict(secured.settings_of(f"postwatch-{part}")))
    rights = [grant for grant in documented_grants() if grant.user == "postwatch-ship"]
    secured.grant(grant._replace(user=f"CN={CERTIFIED}") for grant in rights)
    rsyslog = RsyslogOfJournal(tmp_path, secured.settings_of(CERTIFIED))
    request.addfinalizer(rsyslog.stop)
    rsyslog.start()
    rsyslog.log(
        "postfix/submission/smtpd[11]: 4cQqcX3Tz1z1kVn: client=laptop[198.51.100.7], sasl_method=PLAIN, "
        "sasl_username=anna@bakery.example",
        "cron[12]: (root) CMD (true)",
        "postfix/cleanup[13]: 4cQqcX3Tz1z1kVn: message-id=<701@bakery.example>",
        "postfix/qmgr[14]: 4cQqcX3Tz1z1kVn: from=<anna@bakery.example>, size=900, nrcpt=1 (queue active)",
        "postfix/smtp[15]: 4cQqcX3Tz1z1kVn: to=<user701@far.example>, relay=mx.far.example[203.0.113.5]:25, delay=1, "
        "delays=0/0/1/0, dsn=2.0.0, status=sent (250 ok)",
        "postfix/qmgr[14]: 4cQqcX3Tz1z1kVn: removed",
    )
    [row] = wait_until(lambda: rows_of(pipeline, 701), "the row is there", seconds=120)
    assert (row["server"], row["status"], row["account"]) == ("mail1.example.net", "delivered", "anna@bakery.example")
