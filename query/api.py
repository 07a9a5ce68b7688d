"""The JSON API: the reports under /api/v1, documented at /api/v1/openapi.json.

Endpoints are plain functions on purpose: they wait for ClickHouse in the framework's thread pool, not on its loop.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import PlainTextResponse
from postwatch.producers.service.errors import PostwatchError
from postwatch.query.advice import ADVICE
from postwatch.query.filters import MAX_PAGE_ROWS, STATUS_WORDS
from postwatch.query.report_service import ReportService
from postwatch.query.shapes import DeliveriesShape, ErrorShape, HealthShape, ReasonShape, ServersShape, TraceShape
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

OPENAPI_PATH = "/api/v1/openapi.json"

_ERRORS: dict[int | str, dict[str, Any]] = {
    422: {"model": ErrorShape, "description": "A parameter can't be used; the message says which and why."},
    502: {"model": ErrorShape, "description": "ClickHouse refused the query."},
    503: {"model": ErrorShape, "description": "ClickHouse is away, not migrated, or busy: ask again later."},
    504: {"model": ErrorShape, "description": "The answer is too large or took too long: ask for less."},
}


def api_router(service: ReportService) -> APIRouter:
    router = APIRouter()

    @router.get("/api/v1/accounts/{account:path}/deliveries", responses=_ERRORS, tags=["reports"])
    def account_deliveries(
        account: Annotated[str, Path(description="user@domain, a system user, or @domain for a whole domain.")],
        days: Annotated[
            int | None, Query(description="The last so many days; default 30, at most what is kept.")
        ] = None,
        recipient: Annotated[str, Query(description="An address or a part of it, in either case.")] = "",
        status: Annotated[str, Query(description=f"One of {', '.join(STATUS_WORDS)}.")] = "",
        limit: Annotated[int | None, Query(description=f"Rows of a page, 1 to {MAX_PAGE_ROWS}.")] = None,
        cursor: Annotated[str, Query(description="next_cursor of the page before.")] = "",
        bounces: Annotated[bool, Query(description="Also bounces that our servers made of a message.")] = False,
    ) -> DeliveriesShape:
        """What became of an account's mail, newest first."""
        report = service.account(service.filters(account, days, recipient, status, limit, cursor, bounces))
        return DeliveriesShape.of(report, service.servers())

    @router.get("/api/v1/trace", responses=_ERRORS, tags=["reports"])
    def trace(
        id: Annotated[
            str, Query(description="A queue id, a Message-ID (with or without <>), or a recipient's address.")
        ],
    ) -> TraceShape:
        """One message: its recipients, attempts and log lines. Unknown ids give an empty list."""
        return TraceShape.of(service.trace(id))

    @router.get("/api/v1/servers", responses=_ERRORS, tags=["reports"])
    def servers() -> ServersShape:
        """Every server's last sign of life."""
        return ServersShape.of(service.servers())

    @router.get("/api/v1/reasons", tags=["reports"])
    def reasons() -> list[ReasonShape]:
        """What each value of `reason` means and what to do about it."""
        return [ReasonShape(reason=reason, **advice._asdict()) for reason, advice in ADVICE.items()]

    @router.get("/health", responses={503: {"model": HealthShape, "description": "Degraded."}}, tags=["operation"])
    def health(response: Response) -> HealthShape:
        """200 while reports can be read; 503 with the reason while not. The server itself goes on."""
        try:
            service.servers()
        except PostwatchError as error:
            response.status_code = 503
            return HealthShape(healthy=False, complaints={"clickhouse": str(error)})
        return HealthShape(healthy=True, complaints={})

    @router.get("/metrics", response_class=PlainTextResponse, tags=["operation"])
    def metrics() -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router
