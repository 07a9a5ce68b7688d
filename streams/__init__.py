"""The join: parsers and joiner are pure; Faust, confluent-kafka and ClickHouse are glue around them."""

from pathlib import Path

from postwatch.streams import core_build

core_build.running = core_build.choose(Path(__file__).parent)  # before the first import of a module of the core
