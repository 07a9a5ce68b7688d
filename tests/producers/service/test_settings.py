"""Settings: from the environment and a file; whatever is mistyped is named, with what would be right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.settings import describe, load, setting


@dataclass(frozen=True, slots=True)
class Sample:
    SECTION: ClassVar[str] = "ship"

    server: str = setting(doc="Name of this server.")
    lines: int = setting(10, doc="Lines.", least=1)
    wait: float = setting(0.5, doc="Seconds.")
    follow: bool = setting(False, doc="Follow.")
    paths: tuple[str, ...] = setting((), doc="Globs.")
    limit: int | None = setting(None, doc="Limit.")
    codec: str = setting("zstd", doc="Codec.", choices=("", "zstd", "lz4"))
    token: str = setting("", doc="Token.", secret=True)


REQUIRED = {"POSTWATCH_SHIP_SERVER": "mail1"}


def read(tmp_path: Path | None = None, toml: str = "", **environ: str) -> Sample:
    if tmp_path is not None:
        path = tmp_path / "postwatch.toml"
        path.write_text(toml, encoding="utf-8")
        environ["POSTWATCH_CONFIG"] = str(path)
    return load(Sample, REQUIRED | environ)


def refusal(tmp_path: Path | None = None, toml: str = "", **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, toml, **environ)
    return str(caught.value)


def test_defaults_stand_where_nothing_is_set() -> None:
    assert read() == Sample(server="mail1")


def test_every_kind_of_value_from_the_environment() -> None:
    found = read(
        POSTWATCH_SHIP_LINES="7",
        POSTWATCH_SHIP_WAIT="1.25",
        POSTWATCH_SHIP_FOLLOW="Yes",
        POSTWATCH_SHIP_PATHS="/var/log/a*, /var/log/b ,",
        POSTWATCH_SHIP_LIMIT="3",
        POSTWATCH_SHIP_CODEC="lz4",
        POSTWATCH_SHIP_TOKEN="t",
    )
    assert found == Sample("mail1", 7, 1.25, True, ("/var/log/a*", "/var/log/b"), 3, "lz4", "t")


def test_every_kind_of_value_from_a_file(tmp_path: Path) -> None:
    toml = """
    [kafka]
    brokers = "kafka:9092"
    [ship]
    server = "größe"
    lines = 7
    wait = 2
    follow = true
    paths = ["/var/log/a*"]
    limit = 3
    """
    path = tmp_path / "postwatch.toml"
    path.write_text(toml, encoding="utf-8")
    environ = {"POSTWATCH_CONFIG": str(path)}
    assert load(Sample, environ) == Sample("größe", 7, 2.0, True, ("/var/log/a*",), 3)
    assert load(KafkaSettings, environ).brokers == "kafka:9092"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, "[ship]\nlines = 7", POSTWATCH_SHIP_LINES="8").lines == 8


def test_an_empty_text_unsets_an_optional_number() -> None:
    assert read(POSTWATCH_SHIP_LIMIT="").limit is None


def test_the_process_environment_is_what_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTWATCH_KAFKA_BROKERS", "elsewhere:9092")
    assert load(KafkaSettings).brokers == "elsewhere:9092"


def test_a_required_setting_that_is_missing_says_what_it_is() -> None:
    with pytest.raises(SettingsError, match=r"POSTWATCH_SHIP_SERVER is not set: Name of this server\."):
        load(Sample, {})


def test_a_mistyped_variable_is_named_with_what_was_meant() -> None:
    assert refusal(POSTWATCH_SHIP_LINS="7") == (
        "unknown setting POSTWATCH_SHIP_LINS; did you mean POSTWATCH_SHIP_LINES?"
    )


def test_a_variable_like_no_other_lists_what_is_known() -> None:
    message = refusal(POSTWATCH_SHIP_QQQQQQQQQQQQQQQQQQQQQ="7")
    assert message.startswith("unknown setting POSTWATCH_SHIP_QQQQQQQQQQQQQQQQQQQQQ; known are POSTWATCH_SHIP_CODEC, ")


def test_a_mistyped_section_in_the_environment_is_named() -> None:
    assert refusal(POSTWATCH_KAFAK_BROKERS="kafka:9092") == (
        "unknown setting POSTWATCH_KAFAK_BROKERS: it belongs to no section; did you mean kafka?"
    )


def test_another_parts_section_is_none_of_this_parts_business() -> None:
    assert read(POSTWATCH_SINK_MAX_ROWS="5") == Sample(server="mail1")


def test_a_mistyped_name_in_a_file_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, "[ship]\nlins = 7")
    assert message == f"unknown setting [ship] lins in {tmp_path}/postwatch.toml; did you mean lines?"


def test_a_mistyped_section_in_a_file_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, '[kafak]\nbrokers = "kafka:9092"')
    assert message == f"unknown section [kafak] in {tmp_path}/postwatch.toml; did you mean kafka?"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("LINES", "many", "='many' is not a whole number"),
        ("LINES", "2.5", "='2.5' is not a whole number"),
        ("LINES", "0", "='0' is too small: use 1 or more"),
        ("LIMIT", "none", "='none' is not a whole number"),
        ("WAIT", "soon", "='soon' is not a number"),
        ("WAIT", "nan", "='nan' is not a number"),
        ("WAIT", "inf", "='inf' is not a number"),
        ("FOLLOW", "maybe", "='maybe' is not a switch: use true or false"),
        ("CODEC", "rar", "='rar' is not known: use zstd, lz4"),
    ],
)
def test_a_wrong_value_is_shown_with_its_variable(variable: str, value: str, expected: str) -> None:
    assert refusal(None, **{f"POSTWATCH_SHIP_{variable}": value}) == f"POSTWATCH_SHIP_{variable}{expected}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lines = 2.5", "lines in {path}=2.5 is not a whole number"),
        ("lines = true", "lines in {path}=True is not a whole number"),
        ("lines = [1]", "lines in {path}=[1] is not a whole number"),
        ("wait = false", "wait in {path}=False is not a number"),
        ("follow = 2", "follow in {path}=2 is not a switch: use true or false"),
        ("codec = 5", "codec in {path}=5 must be text"),
        ("token = 12345", "token in {path} must be text"),
    ],
)
def test_a_wrong_value_in_a_file_is_never_rounded_or_guessed(tmp_path: Path, line: str, expected: str) -> None:
    path = tmp_path / "postwatch.toml"
    assert refusal(tmp_path, f"[ship]\n{line}") == "[ship] " + expected.format(path=path)


def test_a_section_that_is_no_table(tmp_path: Path) -> None:
    assert refusal(tmp_path, "ship = 5") == f"[ship] in {tmp_path}/postwatch.toml must be a table of settings"


def test_a_file_that_is_not_there_or_not_toml(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert (
        refusal(POSTWATCH_CONFIG=str(missing)) == f"POSTWATCH_CONFIG={missing} can't be read: No such file or directory"
    )
    assert refusal(tmp_path, "[ship").startswith(f"POSTWATCH_CONFIG={tmp_path}/postwatch.toml is not valid TOML: ")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'[ship]\nserver = "gr\xf6\xdfe"')
    assert "latin.toml is not valid TOML" in refusal(POSTWATCH_CONFIG=str(latin))


def test_librdkafka_gets_no_more_than_is_set() -> None:
    assert KafkaSettings(brokers="kafka:9092").client_config() == {
        "bootstrap.servers": "kafka:9092",
        "security.protocol": "plaintext",
    }


def test_librdkafka_gets_sasl_and_the_authority() -> None:
    settings = KafkaSettings(
        security_protocol="sasl_ssl",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="postwatch",
        sasl_password="secret",
        ssl_ca_file="/etc/ssl/kafka.pem",
    )
    assert settings.client_config() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "postwatch",
        "sasl.password": "secret",
        "ssl.ca.location": "/etc/ssl/kafka.pem",
    }


def test_a_protocol_that_kafka_does_not_know() -> None:
    with pytest.raises(
        SettingsError, match=r"POSTWATCH_KAFKA_SECURITY_PROTOCOL='tls' is not known: use plaintext, ssl"
    ):
        load(KafkaSettings, {"POSTWATCH_KAFKA_SECURITY_PROTOCOL": "tls"})


def test_help_shows_every_variable_its_default_and_its_line() -> None:
    shown = describe(Sample, KafkaSettings)
    assert "  POSTWATCH_SHIP_SERVER (required)\n      Name of this server.\n" in shown
    assert "  POSTWATCH_SHIP_FOLLOW=false\n      Follow.\n" in shown
    assert "  POSTWATCH_SHIP_PATHS=\n" in shown
    assert "  POSTWATCH_SHIP_LIMIT=\n" in shown
    assert "  POSTWATCH_KAFKA_BROKERS=127.0.0.1:9092\n" in shown


def test_a_password_among_the_brokers_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="POSTWATCH_KAFKA_SASL_PASSWORD") as caught:
        load(KafkaSettings, {"POSTWATCH_KAFKA_BROKERS": "anna:s3cret@kafka:9092"})
    assert "s3cret" not in str(caught.value)


def test_what_is_secret_stands_in_no_repr() -> None:
    assert "s3cret" not in repr(KafkaSettings(security_protocol="sasl_ssl", **SASL))


def test_a_secret_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    assert read(POSTWATCH_SHIP_TOKEN_FILE=str(tmp_path / "token")).token == "s3cret"
    assert read(tmp_path, f'[ship]\ntoken_file = "{tmp_path}/token"').token == "s3cret"
    assert read(tmp_path, f'[ship]\ntoken_file = "{tmp_path}/token"', POSTWATCH_SHIP_TOKEN="other").token == "other"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "can't be read: No such file or directory"),
        (b"\n", "is empty: it must hold the secret"),
        (b"one\ntwo\n", "holds more than one line: it must hold the secret alone"),
        (b"\xff\xfe", "is not UTF-8 text"),
    ],
)
def test_a_file_without_a_secret_is_named_and_its_content_is_not(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    assert refusal(POSTWATCH_SHIP_TOKEN_FILE=str(path)) == f"POSTWATCH_SHIP_TOKEN_FILE={str(path)!r} {complaint}"


def test_a_secret_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    message = refusal(POSTWATCH_SHIP_TOKEN="other", POSTWATCH_SHIP_TOKEN_FILE=str(tmp_path / "token"))
    assert message == "POSTWATCH_SHIP_TOKEN_FILE: token is given twice, as text and as a file; keep one of the two"


def test_only_secrets_stand_in_files_of_their_own() -> None:
    assert refusal(POSTWATCH_SHIP_LINES_FILE="/x").startswith("unknown setting POSTWATCH_SHIP_LINES_FILE; did you mean")


@pytest.mark.parametrize(
    ("brokers", "right"),
    [
        ("kafka://a:9092", "a:9092"),
        ("PLAINTEXT://a:9092,SASL_SSL://b:9093", "a:9092,b:9093"),
        ("a:9092,", "a:9092"),
        (",a:9092", "a:9092"),
        ("a:9092,,b:9092", "a:9092,b:9092"),
        ("a:9092, b:9092", "a:9092,b:9092"),
        ("a:9092;b:9092", "a:9092,b:9092"),
        ("a:9092/", "a:9092"),
        ("a,b:9093", "a:9092,b:9093"),
        ("kafka://[2001:db8::1]:9092", "[2001:db8::1]:9092"),
    ],
)
def test_brokers_that_the_two_clients_read_differently_are_refused_with_their_right_form(
    brokers: str, right: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        KafkaSettings(brokers=brokers)
    assert str(caught.value) == (
        f"POSTWATCH_KAFKA_BROKERS={brokers!r} is not a list of HOST:PORT, comma-separated: write {right}"
    )
    assert KafkaSettings(brokers=right).brokers == right


@pytest.mark.parametrize("brokers", ["", ",", "a:0", "a:70000", "a:b", "a b:c", "2001:db8::1:9092", "a:9092\x00"])
def test_brokers_of_which_nothing_can_be_made(brokers: str) -> None:
    with pytest.raises(SettingsError, match=r"is not a list of HOST:PORT, comma-separated, such as kafka1:9092"):
        KafkaSettings(brokers=brokers)


SASL: dict[str, Any] = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "postwatch", "sasl_password": "s3cret"}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            SASL,
            "POSTWATCH_KAFKA_SASL_MECHANISM is set, but POSTWATCH_KAFKA_SECURITY_PROTOCOL=plaintext uses no SASL: "
            "set sasl_ssl",
        ),
        (
            {"security_protocol": "ssl", "sasl_password": "s3cret"},
            "POSTWATCH_KAFKA_SASL_PASSWORD is set, but POSTWATCH_KAFKA_SECURITY_PROTOCOL=ssl uses no SASL: "
            "set sasl_ssl",
        ),
        (
            {"security_protocol": "sasl_ssl"},
            "POSTWATCH_KAFKA_SECURITY_PROTOCOL=sasl_ssl needs POSTWATCH_KAFKA_SASL_MECHANISM: "
            "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER",
        ),
        (
            SASL | {"security_protocol": "sasl_ssl", "sasl_password": ""},
            "POSTWATCH_KAFKA_SASL_MECHANISM=SCRAM-SHA-512 needs POSTWATCH_KAFKA_SASL_PASSWORD",
        ),
        (
            {"ssl_ca_file": "/ca.pem"},
            "POSTWATCH_KAFKA_SSL_CA_FILE is set, but POSTWATCH_KAFKA_SECURITY_PROTOCOL=plaintext uses no TLS: set ssl",
        ),
        (
            SASL | {"security_protocol": "sasl_plaintext", "ssl_ca_file": "/ca.pem"},
            "POSTWATCH_KAFKA_SSL_CA_FILE is set, but POSTWATCH_KAFKA_SECURITY_PROTOCOL=sasl_plaintext uses no TLS: "
            "set sasl_ssl",
        ),
        (
            {"security_protocol": "ssl", "ssl_certificate_file": "/c.pem"},
            "a client certificate needs POSTWATCH_KAFKA_SSL_KEY_FILE too",
        ),
    ],
)
def test_security_that_would_silently_not_be_used_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        KafkaSettings(**changes)
    assert str(caught.value) == complaint


def test_a_certificate_that_can_not_be_read_is_named() -> None:
    environ = {"POSTWATCH_KAFKA_SECURITY_PROTOCOL": "ssl", "POSTWATCH_KAFKA_SSL_CA_FILE": "/nowhere/ca.pem"}
    with pytest.raises(SettingsError, match=r"SSL_CA_FILE='/nowhere/ca.pem' can't be read: No such file"):
        load(KafkaSettings, environ)
