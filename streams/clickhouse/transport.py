"""Why a server can't be reached, in plain words: what the libraries raise holds their objects' names and addresses."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Iterator

from urllib3.exceptions import TimeoutError as Urllib3TimeoutError


def transport_reason(error: BaseException) -> str:
    """The words for the innermost error that has any, such as 'connection refused'."""
    for cause in reversed(list(_causes(error))):
        if words := _words(cause):
            return words
    return "no answer"


def untrusted(error: BaseException) -> tuple[str, str] | None:
    """Why its certificate is not accepted, and what to do; None: that is not what went wrong."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            match cause.verify_code:
                case 10:  # X509_V_ERR_CERT_HAS_EXPIRED
                    remedy = "renew it"
                case 62 | 64:  # …_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH
                    remedy = "name the host that it is for in POSTWATCH_CLICKHOUSE_URL"
                case _:
                    remedy = "set POSTWATCH_CLICKHOUSE_CA_FILE to the certificate of the CA that signed it"
            return cause.verify_message, remedy
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps: as its cause, its `reason` (urllib3, urllib) or among its arguments (urllib3)."""
    waiting: list[object] = [error]
    seen: list[object] = []
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and not any(one is known for known in seen):
            seen.append(one)
            yield one
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]


def _words(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its TLS certificate is not accepted: {error.verify_message}"
        case ssl.SSLError():
            return f"no TLS connection: {(error.reason or 'failed').replace('_', ' ').lower()}"
        case socket.gaierror():
            return "the host name is unknown"
        case TimeoutError() | Urllib3TimeoutError():
            return "no answer in time"
        case http.client.RemoteDisconnected() | http.client.IncompleteRead():
            return "the connection was closed"
        case http.client.BadStatusLine():
            return "what answers there does not speak HTTP"
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case _:
            return ""
