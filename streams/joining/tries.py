"""The tries of a process that names a message only where it begins to try it: its lines in, events of messages out.

The process is kept and parked like a message under `n:` and its name, and makes no rows of its own. It keeps its last
tries, and where in the stream it was when it was parked. So a line that is read again after a crash finds the try that
it was of, and tells what it told before. Any other line belongs to the current try, if it comes in its place there. If
it does not, lines were lost, and nothing is told until the next try begins.

An answer may have several lines, and what stands in them the far server wrote. So behind a line that announces another
one, the next is of the answer, whatever it says, unless the head shows that the sending process wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator

from postwatch.streams.contracts.outcome import BOUNCED, DELIVERED, EXPIRED
from postwatch.streams.expressions import compiled
from postwatch.streams.joining.message import Message, Try, count_try
from postwatch.streams.parsers.events import (
    ADDRESSED,
    CLIENT,
    CONTINUED,
    MESSAGE_ID,
    MOVED,
    NAMED,
    PARENT,
    QUEUE,
    REPLIED,
    STARTED,
    TRIED,
    UNNAMED_SERVER,
    Arrival,
    Attempt,
    Event,
    LifecycleEvent,
    Step,
)
from postwatch.streams.parsers.smtp import next_queue_id, reply_codes

MOST_TRIES = 200
"""Of a process: as many are kept. Lines that are read again after a crash are of these."""
MOST_CHARACTERS = 1_000_000
"""Of the lines of a process: older tries are not kept."""
MOST_STEPS = 30
"""Of a try. Of an answer with more lines, the first and the last are kept."""
_NOTICE_MS = 2000
"""From the line that gives a message up to the second in which its notice is made, either way: stamps are cut."""
_MOST_OF_CONTINUED = 1000
"""Characters of a later line of an answer."""
_PLACES = {kind: place for place, kind in enumerate((STARTED, ADDRESSED, NAMED, REPLIED, TRIED, MOVED))}
_SENDER_SAYS = frozenset((STARTED, ADDRESSED, NAMED, TRIED, MOVED))
"""What the process says itself; the rest is said by a child of it."""
_NO_ANSWER = compiled(r"(?![2-5]\d\d(?:[ -]|$))")
_IP = compiled(r"[\d.]++$|[\da-fA-F]*+:[\da-fA-F:.]++$")


def take_step(process: Message, step: Step, offset: int) -> list[Event]:
    """Take a line of the process into its tries, and return the events of messages that it tells.

    `offset`: the place of its record in the stream; negative: not known, and then no line is read again after a crash.
    """
    if process.tries is None:
        process.tries = []
    process.read_until = max(process.read_until, offset)
    if 0 <= offset <= process.parked_at:
        events = _tell_again(process.tries, step)
        if events or step.kind != STARTED or (process.tries and step.at < process.tries[-1].started.at):
            return events
        process.parked_at = -1  # it was not read before: the stream began anew
    current = _find_try(process.tries, process.current_try)
    if step.kind == STARTED:
        return _begin(process, process.tries, current, step)
    is_known = False
    for one in _tries_at(process.tries, step.at):
        for told in one.steps:
            if told.line == step.line:
                if one is current:
                    return _tell_all(process.tries, one, told)
                is_known = True
    if current is None or _is_over(process.tries, current, step):
        return []
    if _is_answer(current, step):
        _continue(current, step)
    elif _fits(current, step, is_known):
        current.steps.append(step)
        return _tell_all(process.tries, current, step)
    elif step.kind in _PLACES and not is_known and not _is_second_header(current, step):
        process.current_try = ""  # lines were lost, perhaps the beginning of another try
    return []


def _is_second_header(current: Try, step: Step) -> bool:
    """Whether the message has its Message-ID twice."""
    return step.kind == NAMED and bool(current.steps) and current.steps[-1].kind == NAMED


def _tell_again(tries: list[Try], step: Step) -> list[Event]:
    """What a line told that was taken before the process was parked: the rows of it may be lost."""
    events: list[Event] = []
    for one in _tries_at(tries, step.at):
        if one.started.line == step.line:
            events.append(_begun(step))
        for told in one.steps:
            if told.line == step.line:
                events += _tell_all(tries, one, told)
    return events


def _begin(process: Message, tries: list[Try], current: Try | None, step: Step) -> list[Event]:
    known = next((one for one in _tries_at(tries, step.at) if one.started.line == step.line), None)
    if known is None:
        if current is not None and _is_answer(current, step):
            _continue(current, step)
            return []
        known = Try(step, [])
        is_late = bool(tries) and step.at < tries[-1].started.at
        tries.append(known)
        if is_late:
            tries.sort(key=lambda one: one.started.at)
        _trim(tries)
    process.current_try = step.line
    process.queued_at = max(process.queued_at, step.at)  # so it is given up when it has been idle for that long
    return [_begun(step)]


def _continue(current: Try, step: Step) -> None:
    """Add a line to the answer."""
    if len(current.steps) >= MOST_STEPS:
        current.steps.pop()
    words, line = step.words[:_MOST_OF_CONTINUED], step.line[:_MOST_OF_CONTINUED]
    current.steps.append(Step(step.queue_id, step.at, line, CONTINUED, words, step.process))


def _trim(tries: list[Try]) -> None:
    """Forget the oldest tries, but never the last."""
    del tries[:-MOST_TRIES]
    characters = 0
    for index in range(len(tries) - 1, 0, -1):
        characters += count_try(tries[index])
        if characters > MOST_CHARACTERS:
            del tries[:index]
            return


def _find_try(tries: list[Try], line: str) -> Try | None:
    return next((one for one in reversed(tries) if one.started.line == line), None)


def _tries_at(tries: list[Try], at: int) -> Iterator[Try]:
    """The tries that went on at that time: one ends before the next begins."""
    for one in reversed(tries):
        if one.started.at <= at:
            yield one
        if one.started.at < at:
            return


def _is_over(tries: list[Try], current: Try, step: Step) -> bool:
    """Whether another try had begun before the line came, so that the current one is only read again."""
    return current is not tries[-1] and step.at > tries[tries.index(current) + 1].started.at


def _is_answer(current: Try, step: Step) -> bool:
    """Whether the line is one of the far server's answer, because the one before it announces another (RFC 5321 §4.2).

    The sending process and its child have numbers of their own, where the head tells them.
    """
    last = current.steps[-1] if current.steps else None
    if last is None or last.kind not in (REPLIED, CONTINUED) or _answered(last)[3:4] != "-":
        return False
    sender = current.started.process
    is_told_apart = bool(sender) and last.process not in ("", sender)
    return not (is_told_apart and step.kind in _SENDER_SAYS and step.process == sender)


def _fits(current: Try, step: Step, is_known: bool) -> bool:
    """Whether the line may be the next one of the try. `is_known`: it may as well be an earlier try's, read again."""
    last = current.steps[-1] if current.steps else current.started
    place = _PLACES.get(step.kind, 0)
    if step.at < last.at or place <= _PLACES.get(last.kind, _PLACES[REPLIED]):
        return False
    if step.kind == MOVED:
        return step.file == current.started.file
    sender = current.started.process
    if step.kind in _SENDER_SAYS and step.process != sender:
        return False
    if step.kind != TRIED:
        return True
    replied = _reply(current)
    if replied is None:  # the child wrote none, or it was lost; then only the number shows who wrote this one
        return not is_known and (step.status != DELIVERED or bool(sender))
    return (replied.status == DELIVERED) == (step.status == DELIVERED)


def _reply(one: Try) -> Step | None:
    return next((step for step in one.steps if step.kind == REPLIED), None)


def _tell_all(tries: list[Try], one: Try, step: Step) -> list[Event]:
    events = _tell(one, step)
    if step.kind == ADDRESSED and not step.sender and (moved := _find_moved(tries, one.started.file, step)):
        events.append(Arrival(one.started.file, step.at, moved.line, parent_queue_id=moved.file, part=PARENT))
    return events


def _find_moved(tries: list[Try], file: str, notice: Step) -> Step | None:
    """The line that gave up the message which a notice is of: near the second in which the notice was made, which its
    file tells, and of the sender to whom the notice goes. None where two fit, or two notices may be of it."""
    moved: dict[str, Step] = {}
    notices = set()
    for each in tries:
        sent = next((step for step in each.steps if step.kind == ADDRESSED), None)
        if sent is None:
            continue
        if not sent.sender and sent.recipients == notice.recipients and _is_near(each.started.file, _made_at(file)):
            notices.add(each.started.file)
        for step in each.steps:
            if step.kind == MOVED and (sent.sender.lower(),) == notice.recipients and _is_near(file, step.at):
                moved[step.file] = step
    return next(iter(moved.values())) if len(moved) == len(notices) == 1 else None


def _made_at(file: str) -> int:
    """When a message was handed in, which its file's name tells, ms since the epoch."""
    return int(file.partition(".")[0]) * 1000


def _is_near(file: str, at: int) -> bool:
    return abs(_made_at(file) - at) <= _NOTICE_MS


def _tell(one: Try, step: Step) -> list[Event]:
    """What the line tells of the message; the last lines tell all of it, for it may be forgotten when they come."""
    file, at, line = one.started.file, step.at, step.line
    if step.kind == ADDRESSED:
        return [Arrival(file, at, line, sender=step.sender, recipients=step.recipients, part=QUEUE)]
    if step.kind == NAMED:
        return [Arrival(file, at, line, message_id=step.message_id, part=MESSAGE_ID)]
    if step.kind not in (TRIED, MOVED):
        return []
    events: list[Event] = [_begun(one.started)]
    for told in one.steps:
        if told.kind in (ADDRESSED, NAMED):
            events += _tell(one, told)
    tried = step if step.kind == TRIED else next((told for told in one.steps if told.kind == TRIED), None)
    if tried is not None:
        events += _attempts(one, tried)
    if step.kind == MOVED:
        words = "" if tried is not None else _answer(one, step)
        status = BOUNCED if words.startswith("5") else EXPIRED  # what no server refused was tried for too long
        events.append(LifecycleEvent(file, at, line, status, closes=True, response=words))
    elif step.status == DELIVERED:
        events.append(LifecycleEvent(file, at, line, closes=True))
    return events


def _begun(step: Step) -> Arrival:
    """The message as far as the first line of a try tells it: it was handed in on this server."""
    return Arrival(step.file, step.at, step.line, part=CLIENT)


def _attempts(one: Try, step: Step) -> Iterator[Attempt]:
    """The attempt of each recipient: all of them have the same status."""
    replied = _reply(one)
    answer = _answer(one, step)
    code, enhanced = reply_codes(answer)
    host = one.started.remote_host
    is_ip = _IP.match(host) is not None
    for recipient in _recipients(one):
        yield Attempt(
            one.started.file,
            step.at,
            replied.line if replied is not None else step.line,
            step.status,
            recipient=recipient,
            smtp_code=code,
            enhanced_code=enhanced,
            response=answer,
            remote_host="" if is_ip else host,
            remote_ip=host if is_ip else "",
            transport=UNNAMED_SERVER,
            next_queue_id=next_queue_id(answer) if step.status == DELIVERED else "",
        )


def _answered(step: Step) -> str:
    """The line of the answer, as the far server wrote it."""
    return step.answer if step.kind == REPLIED else step.words


def _recipients(one: Try) -> tuple[str, ...]:
    """Those of the try; where that line is missing, the message's only one, which the empty address stands for."""
    return next((step.recipients for step in one.steps if step.kind == ADDRESSED), ("",))


def _answer(one: Try, step: Step) -> str:
    """The far server's words; where it gave none, what nullmailer says of it."""
    said = step.words.removeprefix("Sending failed: ")
    answer = "\\n".join(_answered(told) for told in one.steps if told.kind in (REPLIED, CONTINUED))
    if not answer:
        return said
    return f"{answer}: {said}" if _NO_ANSWER.match(answer) else answer
