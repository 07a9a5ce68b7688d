"""How errors leave the server: one shape in the API, a page elsewhere, and a status code that is right.

No error leaves as a traceback or in the framework's own shape. The texts are for mailbox owners: they name no setting,
no address and no class. The log has the error as the engineer needs it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from postwatch.producers.service.errors import BadInputError, PostwatchError, UnavailableError
from postwatch.query.cpanel.envelopes import is_cpanel_path, refusal
from postwatch.query.errors import (
    BusyError,
    CheckAwayError,
    ForbiddenError,
    NotFoundError,
    NotMigratedError,
    OpenIdAwayError,
    QueryError,
    QuestionError,
    StateError,
    TooLargeError,
    TooManyPagesError,
    TooManyTriesError,
    TooMuchMemoryError,
)
from postwatch.query.identity import viewer_of
from postwatch.query.shapes import ErrorDetail, ErrorShape
from postwatch.query.translation import N_, gettext
from postwatch.query.web.rendering import render
from starlette.exceptions import HTTPException

log = structlog.get_logger()

API_PREFIX = "/api/"
RETRY_AFTER_SECONDS = 5


class _ErrorKind(NamedTuple):
    error: type[PostwatchError]
    status: int
    code: str
    words: str
    """What a mailbox owner reads; empty: the error's own text, which speaks of what was asked and of nothing else."""


_AWAY = N_("Reports are not available at the moment. Try again in a minute.")
_NO_LOG_IN = N_("Log-in is not available at the moment. Try again in a minute.")
_KINDS = [
    _ErrorKind(ForbiddenError, 403, "forbidden", ""),
    _ErrorKind(NotFoundError, 404, "not_found", ""),
    _ErrorKind(TooManyTriesError, 429, "too_many_tries", ""),
    _ErrorKind(BadInputError, 422, "invalid", ""),
    _ErrorKind(BusyError, 503, "busy", N_("Too many reports are being made at the moment. Try again in a minute.")),
    _ErrorKind(
        TooManyPagesError, 503, "too_many_pages", N_("New rows do not appear by themselves. Reload to see them.")
    ),
    _ErrorKind(NotMigratedError, 503, "not_migrated", _AWAY),
    _ErrorKind(
        CheckAwayError,
        503,
        "log_in_unavailable",
        N_("Your password can't be checked at the moment. Try again in a minute."),
    ),
    _ErrorKind(StateError, 503, "log_in_unavailable", _NO_LOG_IN),
    _ErrorKind(OpenIdAwayError, 503, "log_in_unavailable", _NO_LOG_IN),
    _ErrorKind(UnavailableError, 503, "unavailable", _AWAY),
    _ErrorKind(
        TooMuchMemoryError,
        504,
        "too_large",
        N_("This report needs more memory than one report may have. Ask for fewer days or for one recipient."),
    ),
    _ErrorKind(
        TooLargeError, 504, "too_large", N_("This report took too long. Ask for fewer days or for one recipient.")
    ),
    _ErrorKind(QueryError, 502, "query_refused", N_("This report can't be made at the moment. Tell your provider.")),
    _ErrorKind(PostwatchError, 500, "internal", N_("This report can't be made at the moment. Tell your provider.")),
]
"""The first that fits."""
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}


def _kind(error: PostwatchError) -> _ErrorKind:
    return next(kind for kind in _KINDS if isinstance(error, kind.error))


def status_of(error: PostwatchError) -> tuple[int, str]:
    """An error → its HTTP status and code."""
    kind = _kind(error)
    return kind.status, kind.code


def public_words(error: PostwatchError) -> str:
    """An error → what a mailbox owner reads. The error itself, with its settings and addresses, goes to the log."""
    kind = _kind(error)
    if not kind.words:
        return error.words() if isinstance(error, QuestionError) else str(error)
    if kind.words is not _AWAY:  # then the reader has logged it, once for all reports
        log.warning("report_failed", code=kind.code, error=str(error))
    return gettext(kind.words)


def error_headers(status: int) -> dict[str, str] | None:
    return {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else None


def error_answer(request: Request, status: int, code: str, message: str) -> Response:
    """The answer for an error: JSON under /api, else a page."""
    headers = error_headers(status)
    if is_cpanel_path(request.url.path):
        return JSONResponse(refusal(message, message), status, headers)
    if request.url.path.startswith(API_PREFIX):
        shape = ErrorShape(error=ErrorDetail(code=code, message=message))
        return JSONResponse(shape.model_dump(), status, headers)
    return HTMLResponse(render("error.html", viewer_of(request), status=status, message=message), status, headers)


def _invalid_words(fault: dict[str, Any]) -> str:
    """What the framework found wrong with a parameter, as the reports say it."""
    name, given = fault["loc"][-1], fault["input"]
    if fault["type"] == "missing":
        return gettext("%(name)s is missing", name=name)
    if fault["type"] == "int_parsing":
        return gettext("%(name)s %(given)s is not a whole number", name=name, given=repr(given))
    if fault["type"] == "bool_parsing":
        return gettext("%(name)s %(given)s is not true or false", name=name, given=repr(given))
    return f"{name}: {fault['msg']}"


def install_error_answers(app: FastAPI) -> None:
    """Let every error of the application leave through `error_answer`."""

    @app.exception_handler(PostwatchError)
    def answer_own(request: Request, error: PostwatchError) -> Response:
        return error_answer(request, *status_of(error), public_words(error))

    @app.exception_handler(RequestValidationError)
    def answer_invalid(request: Request, error: RequestValidationError) -> Response:
        return error_answer(request, 422, "invalid", "; ".join(map(_invalid_words, error.errors())))

    @app.exception_handler(HTTPException)
    def answer_http(request: Request, error: HTTPException) -> Response:
        message = str(error.detail)
        if error.status_code == 404:
            message = gettext("There is no page at %(path)s", path=request.url.path)
        answer = error_answer(request, error.status_code, _HTTP_CODES.get(error.status_code, "http_error"), message)
        answer.headers.update(error.headers or {})
        if answer.headers.get("allow") == "GET":
            answer.headers["allow"] = "GET, HEAD"  # see guards.py
        return answer

    @app.exception_handler(Exception)
    def answer_bug(request: Request, error: Exception) -> Response:
        # The framework raises it again behind this answer, and the server logs it with its traceback.
        return error_answer(
            request, 500, "internal", gettext("Something went wrong. Tell your provider the time of this error.")
        )
