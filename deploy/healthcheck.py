"""Whether the part in this container is alive: exit status 0 if its main loop turns, whoever else is away.

The image is the same for all parts, so each address on which one may answer is asked.
"""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

_ADDRESSES = {"SHIP": "127.0.0.1:9101", "JOIN": "127.0.0.1:9102", "SINK": "127.0.0.1:9103", "PUSH": "127.0.0.1:9104"}


def urls() -> Iterator[str]:
    for part, default in _ADDRESSES.items():
        yield f"http://127.0.0.1:{_port(os.environ.get(f'POSTWATCH_{part}_METRICS_ADDRESS', default))}/alive"
    yield f"http://127.0.0.1:{_port(os.environ.get('POSTWATCH_QUERY_LISTEN', '127.0.0.1:8080'))}/"


def _port(address: str) -> str:
    return address.rpartition(":")[2]


def is_alive(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=4).close()
    except urllib.error.HTTPError:
        return not url.endswith(
            "/alive"
        )  # the pages answer something: ClickHouse may be away, or a log-in be asked for
    except (OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(not any(map(is_alive, urls())))
