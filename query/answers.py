"""How errors leave the server: one shape in the API, a page for people elsewhere, and a status code that is right.

No error escapes as a traceback, and none as the framework's own shape.
"""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from postwatch.producers.service.errors import BadInputError, PostwatchError, UnavailableError
from postwatch.query.errors import BusyError, NotMigratedError, QueryError, TooLargeError
from postwatch.query.shapes import ErrorDetail, ErrorShape
from postwatch.query.web.rendering import render
from starlette.exceptions import HTTPException

API_PREFIX = "/api/"
RETRY_AFTER_SECONDS = 5
_ANSWERS: list[tuple[type[PostwatchError], int, str]] = [
    (BadInputError, 422, "invalid"),
    (BusyError, 503, "busy"),
    (NotMigratedError, 503, "not_migrated"),
    (UnavailableError, 503, "unavailable"),
    (TooLargeError, 504, "too_large"),
    (QueryError, 502, "query_refused"),
]
"""The first that fits."""
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}


def status_of(error: PostwatchError) -> tuple[int, str]:
    """An error → its HTTP status and code."""
    return next(((status, code) for kind, status, code in _ANSWERS if isinstance(error, kind)), (500, "internal"))


def error_answer(request: Request, status: int, code: str, message: str) -> Response:
    """The answer for an error: JSON under /api, else a page."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else None
    if request.url.path.startswith(API_PREFIX):
        shape = ErrorShape(error=ErrorDetail(code=code, message=message))
        return JSONResponse(shape.model_dump(), status, headers)
    return HTMLResponse(render("error.html", status=status, message=message), status, headers)


def install_error_answers(app: FastAPI) -> None:
    """Let every error of the application leave through `error_answer`."""

    @app.exception_handler(PostwatchError)
    def answer_own(request: Request, error: PostwatchError) -> Response:
        return error_answer(request, *status_of(error), str(error))

    @app.exception_handler(RequestValidationError)
    def answer_invalid(request: Request, error: RequestValidationError) -> Response:
        faults = [f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()]
        return error_answer(request, 422, "invalid", "; ".join(faults))

    @app.exception_handler(HTTPException)
    def answer_http(request: Request, error: HTTPException) -> Response:
        message = f"there is nothing at {request.url.path}" if error.status_code == 404 else str(error.detail)
        answer = error_answer(request, error.status_code, _HTTP_CODES.get(error.status_code, "http_error"), message)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    def answer_bug(request: Request, error: Exception) -> Response:
        # The framework raises it again behind this answer, and the server logs it with its traceback.
        return error_answer(request, 500, "internal", "this should not have happened; the server's log says more")
