"""Lines of Exim's main log behind the stamp and the queue id: as usual, and with something strange in each place."""

from __future__ import annotations

from hypothesis import strategies as st

LONG_ID = "1vwyE4-00000003aCd-2Y4x"
_PIECES = (
    *(
        '"',
        "\\",
        "\\\\",
        '\\"',
        " ",
        "(",
        ")",
        "[",
        "]",
        "<",
        ">",
        ":",
        "=",
        "@",
        ",",
        "a",
        "a@b.example",
        "é",
        "\x85",
        "<>",
    ),
    *(" T=", ' T="', " id=x", " for ", " from <", " P=x", " S=1", "R=x", " C=", " QT=1s", "[203.0.113.9]"),
)
_WORDS = st.sampled_from(_PIECES)
_STRANGE = st.lists(_WORDS, max_size=4).map("".join)


def strange_or(usual: str) -> st.SearchStrategy[str]:
    return st.just(usual) | _STRANGE | _STRANGE.map(lambda words: usual + words)


def _fields(*fields: str) -> st.SearchStrategy[str]:
    """Fields in their order, each as it is, left out, or with something strange for what stands behind its `~`."""

    def strategy(field: str) -> st.SearchStrategy[str]:
        name, mark, value = field.partition("~")
        behind = {"(": ")", "[": "]", "<": ">", '"': '"'}.get(name[-1:], "")
        changed = strange_or(value).map(lambda words: f" {name}{words}{behind}") if mark else st.just(f" {field}")
        return st.just("") | changed | st.just(f" {name}{value}{behind}")

    return st.tuples(*map(strategy, fields)).map("".join)


ARRIVALS = st.tuples(
    strange_or("anna@bakery.example") | st.just("<>"),
    _fields(
        "R=~1vwyE4-0003aC-2X",
        "H=~mx.far.example",
        "(~laptop",
        "[~198.51.100.7",
        "I=[~192.0.2.1",
        "U=~anna",
        "P=~esmtpsa",
    ),
    _fields("X=~TLS1.3:AES:256 CV=yes", "SNI=~mx.example", "A=~plain:anna", "S=~990", "M8S=0", "id=~m1@x", 'T="~Hello'),
    _fields("from <~anna@bakery.example", "for ~paul@customer.example"),
).map(lambda parts: "<= " + "".join(parts))
DELIVERIES = st.tuples(
    st.sampled_from(("=>", "->", ">>")),
    strange_or(" Paul@customer.example") | st.just(" :blackhole: "),
    _fields(
        "<~sales@bakery.example",
        "F=<~anna@bakery.example",
        "R=~dnslookup",
        "T=~remote_smtp",
        "S=9",
        "H=~mx1.far.example",
    ),
    _fields(
        "[~203.0.113.5", "I=[~192.0.2.1", "X=~TLS1.3:AES:256 CV=yes", "K", 'C="~250 2.0.0 OK queued as 4bXyz', "QT=2s"
    ),
).map("".join)

_ERRORS = (
    "SMTP error from remote mail server after RCPT TO:<paul@customer.example>: 550 5.1.1 unknown",
    "Connection timed out",
    "retry time not reached for any host",
    "host mx1.far.example [203.0.113.5]: 451 later DT=3s",
)
TRIES = st.tuples(
    st.sampled_from(("==", "**")),
    strange_or(" Paul@customer.example"),
    _fields("<~sales@bakery.example", "F=<~anna@bakery.example", "R=~dnslookup", "T=~remote_smtp", "routing"),
    _fields("defer (~110", "H=~mx1.far.example", "[~203.0.113.5", "X=~TLS1.3:AES:256 CV=yes"),
    st.just(": ") | st.just(":") | _STRANGE,
    strange_or(_ERRORS[0]) | st.sampled_from(_ERRORS[1:]),
).map("".join)
REFUSALS = st.tuples(
    _fields(
        "H=~mail.far.example", "(~[198.51.100.9]", "[~198.51.100.7", "X=~TLS1.3:AES:256 CV=no", "F=<~spam@x.example"
    ),
    st.just("") | st.just(" temporarily"),
    st.just(" rejected RCPT <"),
    strange_or("Sales@bakery.example"),
    st.just(">: ") | st.just(">") | _STRANGE,
    strange_or("No Such User Here")
    | st.just("[203.0.113.9] F=<root@bakery.example> rejected RCPT <anna@bakery.example>: no"),
).map("".join)
