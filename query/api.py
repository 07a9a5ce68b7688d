"""The JSON API: every report under /api/v1, documented at /api/v1/openapi.json.

Endpoints are plain functions on purpose: they wait for ClickHouse in the framework's thread pool, not on its loop.
"""

from __future__ import annotations

import inspect
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse
from postwatch.producers.service.errors import PostwatchError
from postwatch.query.advice import ADVICE
from postwatch.query.answers import public_words
from postwatch.query.identity import asker, known_viewer
from postwatch.query.report_service import ReportService
from postwatch.query.reports.registry import AnyReport, narrow_first
from postwatch.query.reports.report import Filter
from postwatch.query.shapes import ErrorShape, HealthShape, ReasonShape, Shape
from postwatch.streams.exposition import expose

OPENAPI_PATH = "/api/v1/openapi.json"
HEALTH_SECONDS = 1.0

ERRORS: dict[int | str, dict[str, Any]] = {
    422: {"model": ErrorShape, "description": "A parameter is not valid; the message says which one and why."},
    502: {"model": ErrorShape, "description": "The report could not be read."},
    503: {"model": ErrorShape, "description": "Reports are not available at the moment: try again later."},
    504: {"model": ErrorShape, "description": "The report is too large or took too long: ask for less."},
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorShape, "description": "Nothing that you may see has this id."}
}


class _Condition:
    """Whether reports can be read, asked at most once a second and by one request at a time: /health needs no log-in,
    and many who ask for it must not take the turns of those who read reports."""

    def __init__(self, service: ReportService) -> None:
        self._service = service
        self._asking = threading.Lock()
        self._asked = -HEALTH_SECONDS
        self._found: PostwatchError | None = None
        self._is_known = False

    def complaint(self) -> PostwatchError | None:
        """While another request asks, what was found before."""
        if self._asking.acquire(blocking=not self._is_known):
            try:
                if time.monotonic() - self._asked >= HEALTH_SECONDS:
                    self._found = self._ask()
                    self._asked, self._is_known = time.monotonic(), True
            finally:
                self._asking.release()
        return self._found

    def _ask(self) -> PostwatchError | None:
        try:
            self._service.servers()
        except PostwatchError as error:
            return error
        return None


def api_router(service: ReportService, reports: Iterable[AnyReport]) -> APIRouter:
    router = APIRouter()
    condition = _Condition(service)

    for report in narrow_first(reports):
        router.add_api_route(
            report.path,
            _endpoint(service, report),
            description=report.description,
            responses={**ERRORS, **_NOT_FOUND} if report.names_one else ERRORS,
            tags=["reports"],
        )

    @router.get("/api/v1/reasons", tags=["reports"])
    def reasons() -> list[ReasonShape]:
        """What each value of `reason` means and what to do about it."""
        return [ReasonShape(reason=reason, **advice._asdict()) for reason, advice in ADVICE.items()]

    @router.get("/health", responses={503: {"model": HealthShape, "description": "Degraded."}}, tags=["operation"])
    def health(response: Response) -> HealthShape:
        """200 while reports can be read, else 503 with the cause. The server itself goes on."""
        if error := condition.complaint():
            response.status_code = 503
            return HealthShape(healthy=False, complaints={"clickhouse": _health_words(error)})
        return HealthShape(healthy=True, complaints={})

    @router.get("/metrics", response_class=PlainTextResponse, tags=["operation"])
    def metrics() -> Response:
        """Prometheus metrics."""
        content_type, text = expose()
        return Response(text, media_type=content_type)

    return router


def _health_words(error: PostwatchError) -> str:
    """With log-in the cause, which names servers and settings, is in the log alone."""
    one = asker()
    return public_words(error) if one and one.has_log_in else str(error)


def _endpoint(service: ReportService, report: AnyReport) -> Callable[..., Shape]:
    """A function whose signature tells the framework the report's filters and its JSON."""

    def endpoint(request: Request, **words: Any) -> Shape:
        viewer = known_viewer(request)
        answer, servers = service.ask(viewer, report, report.question(**words))
        return report.shape(answer, [state.server for state in servers.stale()] if viewer.is_engineer else [])

    endpoint.__name__ = report.operation
    request = inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    parameters = [request, *(parameter_of(one, report.path) for one in report.filters)]
    endpoint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        parameters, return_annotation=report.shape_type
    )
    return endpoint


def parameter_of(one: Filter, path: str) -> inspect.Parameter:
    """A filter as a parameter of an endpoint."""
    words = one.doc[0].upper() + one.doc[1:] + (f": {', '.join(one.choices)}." if one.choices else ".")
    is_in_path = re.search(rf"\{{{one.name}[:}}]", path)
    place = Path(description=words) if is_in_path else Query(description=words)
    annotation = Annotated[one.type, place]  # type: ignore[name-defined]
    default = inspect.Parameter.empty if one.is_required else one.default
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
