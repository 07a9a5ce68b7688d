"""The addresses of files: of the API beside each report's own, and of the pages.

Both take the filters of the report; a file has neither pages nor a cursor.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import APIRouter, Request, Response
from postwatch.query.api import ERRORS, parameter_of
from postwatch.query.downloads import Downloads
from postwatch.query.files import FORMATS, NOT_OF_FILES
from postwatch.query.identity import known_viewer
from postwatch.query.reports.registry import AnyReport
from postwatch.query.web.track import own_account


def download_router(downloads: Downloads, reports: Iterable[AnyReport]) -> APIRouter:
    router = APIRouter()
    for report in reports:
        if report.has_download:
            for form, kind in FORMATS.items():
                router.add_api_route(
                    f"{report.path}.{form}",
                    _endpoint(downloads, report, form),
                    description=f"The whole result of {report.operation} as {form.upper()}, the newest message first."
                    " A file that breaks off ends with a line that says INCOMPLETE.",
                    responses={200: {"content": {kind.media_type: {}}}, **ERRORS},
                    response_class=Response,
                    tags=["files"],
                )
                router.add_api_route(page_path(report, form), _page(downloads, report, form), include_in_schema=False)
    return router


def page_path(report: AnyReport, form: str) -> str:
    """The address of a file for a browser, which shows errors as pages."""
    return f"/download/{report.operation}.{form}"


def _endpoint(downloads: Downloads, report: AnyReport, form: str) -> Callable[..., Response]:
    def endpoint(request: Request, **words: Any) -> Response:
        return downloads.open(known_viewer(request), report, report.question(**words), form, takes_gzip(request))

    endpoint.__name__ = f"{report.operation}_{form}"
    shown = [parameter_of(one, report.path) for one in report.filters if one.name not in NOT_OF_FILES]
    first = inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    endpoint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [first, *shown], return_annotation=Response
    )
    return endpoint


def _page(downloads: Downloads, report: AnyReport, form: str) -> Callable[[Request], Response]:
    def page(request: Request) -> Response:
        words = {one.name: request.query_params.get(one.name, "") for one in report.filters}
        words |= dict.fromkeys(NOT_OF_FILES, "")
        viewer = known_viewer(request)
        if "account" in words:
            words["account"] = own_account(viewer) or words["account"]
        return downloads.open(viewer, report, report.question_of(words), form, takes_gzip(request))

    return page


def takes_gzip(request: Request) -> bool:
    """Whether the client asks for gzip (RFC 9110 §12.5.3); `gzip;q=0` does not."""
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
