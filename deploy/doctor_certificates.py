"""The doctor's look at the certificates that stand in files: when the first of each file ends.

Files are read as they are; what a server shows is its own affair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from postwatch.deploy.findings import OK, TROUBLE, WARNING, Finding
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.query.wording import time_span
from postwatch.streams.settings import ClickHouseSettings

_DAY_MS = 86_400_000
SOON_DAYS = 21
"""Three weeks: enough to find whoever renews it, in the holidays too."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    setting: str
    path: str
    ends_ms: int = 0
    """The end of the certificate in it that ends first."""
    subject: str = ""
    trouble: str = ""
    """Why it can't be read."""


def collect_certificates(kafka: KafkaSettings, clickhouse: ClickHouseSettings) -> Sequence[CertificateFacts]:
    named = {
        "POSTWATCH_KAFKA_SSL_CA_FILE": kafka.ssl_ca_file,
        "POSTWATCH_KAFKA_SSL_CERTIFICATE_FILE": kafka.ssl_certificate_file,
        "POSTWATCH_KAFKA_OAUTH_CA_FILE": kafka.oauth_ca_file,
        "POSTWATCH_CLICKHOUSE_CA_FILE": clickhouse.ca_file,
    }
    return [_read(setting, path) for setting, path in named.items() if path]


def _read(setting: str, path: str) -> CertificateFacts:
    try:
        found = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        return CertificateFacts(setting, path, trouble=str(error))
    first = min(found, key=lambda one: one.not_valid_after_utc)
    ends_ms = round(first.not_valid_after_utc.timestamp() * 1000)
    return CertificateFacts(setting, path, ends_ms, first.subject.rfc4514_string())


def judge_certificates(found: Sequence[CertificateFacts], now_ms: int) -> Iterator[Finding]:
    """One finding a file; none where no file is named."""
    for one in found:
        check, left_ms = f"certificate {one.setting}", one.ends_ms - now_ms
        which = f"{one.path} ({one.subject})"
        if one.trouble:
            yield Finding(check, TROUBLE, f"{one.path} can't be read: {one.trouble}.", "Name a readable PEM file.")
        elif left_ms <= 0:
            yield Finding(check, TROUBLE, f"{which} ended {time_span(-left_ms)} ago.", "Renew it now.")
        elif left_ms < SOON_DAYS * _DAY_MS:
            remedy = "Renew it, in the same file: the parts that run take it up (docs/secured-kafka.md)."
            yield Finding(check, WARNING, f"{which} ends in {time_span(left_ms)}.", remedy)
        else:
            yield Finding(check, OK, f"It is valid for {left_ms // _DAY_MS} more days.")
