"""The addresses of cPanel's and WHM's APIs: `/json-api/FUNCTION`, by GET and by POST.

Every call that reaches a function is answered with status 200, as theirs is. The functions wait for ClickHouse in the
framework's thread pool.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from postwatch.query.cpanel import envelopes
from postwatch.query.cpanel.errors import CallError
from postwatch.query.cpanel.functions import NO_XML, Caller, answer_uapi, answer_whm
from postwatch.query.cpanel.owner_names import OwnerNames
from postwatch.query.cpanel.parameters import Parameters
from postwatch.query.errors import FilterError
from postwatch.query.identity import known_viewer
from postwatch.query.report_service import ReportService
from postwatch.query.web.forms import read_form

_METHODS = ["GET", "POST"]
_MOST_PARAMETERS = 200
_CPANEL_USER = re.compile(r"cpanel\s+([^\s:]+):", re.IGNORECASE)


def cpanel_router(service: ReportService, names: Callable[[], OwnerNames]) -> APIRouter:
    """`names`: the lists of owners and resellers in use."""
    router = APIRouter()

    @router.api_route("/json-api/{function}", methods=_METHODS, include_in_schema=False)
    @router.api_route("/cpsess{session}/json-api/{function}", methods=_METHODS, include_in_schema=False)
    async def json_api(request: Request, function: str) -> Response:
        authorization = request.headers.get("authorization", "")
        if authorization.partition(" ")[0].lower() == "basic":
            return denied()
        try:
            parameters = await read_parameters(request)
        except FilterError as error:
            return JSONResponse(envelopes.whm_failure(function[:80], str(error)))
        named = _CPANEL_USER.match(authorization)
        caller = Caller(known_viewer(request), names(), named[1] if named else "")
        return JSONResponse(await run_in_threadpool(answer_whm, service, caller, function, parameters))

    @router.api_route("/execute/{module}/{function}", methods=_METHODS, include_in_schema=False)
    @router.api_route("/cpsess{session}/execute/{module}/{function}", methods=_METHODS, include_in_schema=False)
    def execute(module: str, function: str) -> Response:
        return JSONResponse(answer_uapi(module, function))

    @router.api_route("/xml-api/{function}", methods=_METHODS, include_in_schema=False)
    @router.api_route("/cpsess{session}/xml-api/{function}", methods=_METHODS, include_in_schema=False)
    def xml_api(function: str) -> Response:
        return JSONResponse(envelopes.whm_failure(function[:80], NO_XML))

    return router


def denied() -> Response:
    """To whom nobody knows, or who sends a password: as cPanel's server answers."""
    return JSONResponse(envelopes.refusal(envelopes.ACCESS_DENIED, envelopes.HOW_TO_COME_IN), 403)


async def read_parameters(request: Request) -> Parameters:
    """Those of the address and those of the body, which come last and count. Raises FilterError."""
    try:
        pairs = parse_qsl(request.url.query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError as error:
        raise CallError("more than %(most)s parameters", most=_MOST_PARAMETERS) from error
    parameters = dict(pairs)
    if request.method == "POST":
        for name, values in (await read_form(request)).items():
            parameters[name] = values[-1]
    return parameters
