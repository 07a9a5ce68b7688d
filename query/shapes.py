"""The JSON of the API and of `--format json`: the same objects, documented in OpenAPI. Each report adds its own.

Times are ISO 8601 in UTC with milliseconds. Empty text or 0 stands for "the log does not say".
"""

from __future__ import annotations

from typing import Annotated

from postwatch.streams.contracts.outcome import Outcome, to_json_object
from pydantic import BaseModel, ConfigDict, Field

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AttemptShape(Shape):
    at: Time
    status: str
    smtp_code: int
    response: str
    remote_host: str
    remote_ip: str


class ReasonShape(Shape):
    """What a value of `reason` means, and what to do about it."""

    reason: str
    meaning: str = Field(description="In plain words, for the owner of the mailbox.")
    remedy: str = Field(description="What the owner can do.")
    cause: str = Field(description="Where it comes from, for the engineer.")
    action: str = Field(description="What the engineer can do.")


class DeliveryShape(Shape):
    """What became of one message for one recipient."""

    account: str = Field(description="The mailbox, or system user at its server, that this is reported under.")
    account_domain: str
    direction: str = Field(description="sent or received.")
    server: str
    queue_id: str
    message_id: str = Field(description="The Message-ID header without its brackets.")
    sender: str = Field(description="Envelope sender; empty for bounces.")
    recipient: str = Field(description="The final address.")
    original_recipient: str = Field(description="The address as submitted, where aliasing changed it.")
    client_host: str
    client_ip: str
    authenticated_as: str
    auth_method: str
    subject: str
    size_bytes: int
    queued_at: Time = Field(description="When the message came in. Reports are sorted by it, newest first.")
    updated_at: Time = Field(description="The delivery time: when the last thing happened.")
    delay_ms: int = Field(description="From queued_at to updated_at.")
    status: str = Field(
        description="pending, deferred, delivered, bounced, expired, rejected, discarded or cancelled.",
    )
    result: str = Field(description="accepted, failed, pending or discarded.")
    smtp_code: int
    enhanced_code: str
    response: str = Field(description="The error message, or whatever else the far server said.")
    reason: str = Field(description="Why it failed or waits, in a word such as unknown-user; empty: no trouble.")
    remote_host: str
    remote_ip: str
    remote_provider: str
    tls: str
    router: str
    transport: str
    attempts: list[AttemptShape]
    next_queue_id: str
    parent_queue_id: str
    log_lines: list[str]

    @classmethod
    def of(cls, row: Outcome) -> DeliveryShape:
        fields = to_json_object(row)
        del fields["version"], fields["is_deleted"]
        return cls.model_validate(fields)


class HealthShape(Shape):
    healthy: bool
    complaints: dict[str, str]


class ErrorDetail(Shape):
    code: str
    message: str


class ErrorShape(Shape):
    """Every error of the API."""

    error: ErrorDetail
