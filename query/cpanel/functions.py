"""Which function a call names, and its answer: the one place that knows all of them.

Whatever is wrong with a call is answered in words, in the envelope of the API that it is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postwatch.producers.service.errors import PostwatchError
from postwatch.query.answers import public_words
from postwatch.query.cpanel import envelopes
from postwatch.query.cpanel.envelopes import MODULE, Document, Listed
from postwatch.query.cpanel.errors import CallError
from postwatch.query.cpanel.lists import holds, ordered, paged
from postwatch.query.cpanel.owner_names import OwnerNames
from postwatch.query.cpanel.parameters import Parameters
from postwatch.query.cpanel.records import TrackRecord
from postwatch.query.cpanel.scopes import UserScope, scope_of
from postwatch.query.cpanel.search import read_search, search
from postwatch.query.cpanel.shaping import Match, Shaping, read_api2, read_whm
from postwatch.query.cpanel.statistics import by_user, total
from postwatch.query.cpanel.statistics_call import (
    UserStatsRecord,
    read_statistics,
    total_record,
    user_record,
)
from postwatch.query.report_service import ReportService
from postwatch.query.reports.report import Tables
from postwatch.query.viewer import Viewer
from prometheus_client import Counter

_CALLS = Counter(
    "postwatch_cpanel_calls_total", "Calls of cPanel's and WHM's functions, by function and end.", ["function", "end"]
)

SEARCH, STATS, USER_STATS, API2 = "emailtrack_search", "emailtrack_stats", "emailtrack_user_stats", "cpanel"
WHM_FUNCTIONS = (SEARCH, STATS, USER_STATS)
API2_FUNCTIONS = ("search", "stats")
_NO_TRACE = (
    "EmailTrack::trace is not served: the story of a delivery tells its hops. Look at /api/v1/trace?id=QUEUE_ID or"
    " `postwatch trace QUEUE_ID`"
)
_NO_UAPI = (
    "Failed to load module “{module}”: UAPI has no EmailTrack. Call /json-api/cpanel with"
    " cpanel_jsonapi_module=EmailTrack, cpanel_jsonapi_func={function} and cpanel_jsonapi_apiversion=2"
)
NO_XML = "XML is not served: call the same function at /json-api/"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, what the lists tell of owners, and the user that a header `Authorization: cpanel USER:…` names."""

    viewer: Viewer
    names: OwnerNames
    user: str = ""


@dataclass(frozen=True, slots=True)
class _Asked:
    """For the audit log."""

    account: str


def answer_whm(service: ReportService, caller: Caller, function: str, parameters: Parameters) -> Document:
    """The document for `/json-api/FUNCTION`."""
    if function == API2:
        return _answer_api2(service, caller, parameters)
    if function not in WHM_FUNCTIONS:
        _CALLS.labels("unknown", "refused").inc()
        reason = f'Unknown app ("{function[:80]}") requested for this version (1) of the API.'
        return envelopes.whm_failure(function[:80], reason)
    try:
        if (version := parameters.get("api.version", "").strip() or "1") != "1":
            raise CallError("api.version=%(version)s is not served: use 1", version=version[:40])
        asked = next((parameters[name] for name in ("user", "sender", "records") if parameters.get(name)), "")
        tables = service.tables(caller.viewer, function, _Asked(asked))
        listed = _listed_whm(tables, caller.names, function, parameters)
    except PostwatchError as error:
        return envelopes.whm_failure(function, _told(function, error))
    _CALLS.labels(function, "answered").inc()
    return envelopes.whm_answer(function, listed)


def _listed_whm(tables: Tables, names: OwnerNames, function: str, parameters: Parameters) -> Listed:
    if function == SEARCH:
        return _search(tables, names, parameters, read_whm(parameters, TrackRecord._fields), None)
    if function == STATS:
        return _stats(tables, names, parameters, None)
    shaping = read_whm(parameters, UserStatsRecord._fields)
    found = by_user(tables, names, read_statistics(parameters, names, tables.now_ms, None))
    records = [user_record(names, one) for one in found.users]
    matching = [record for record in records if holds(record, shaping.matches)]
    page = paged(ordered(matching, shaping.orders), shaping.chunk)
    warnings = (f"Only the {len(records)} users are listed who sent most.",) if found.overflowed else ()
    return Listed(
        [_cut(record._asdict(), shaping) for record in page.records],
        page.found,
        found.overflowed,
        warnings,
        shaping.chunk,
        shaping.matches if shaping.tells_filters else (),
    )


def _search(
    tables: Tables, names: OwnerNames, parameters: Parameters, shaping: Shaping, scope: UserScope | None
) -> Listed:
    found = search(tables, names, read_search(parameters, shaping, scope))
    return Listed(
        [_cut(record._asdict(), shaping) for record in found.page.records],
        found.page.found,
        found.overflowed,
        found.warnings,
        shaping.chunk,
        shaping.matches if shaping.tells_filters else (),
    )


def _stats(tables: Tables, names: OwnerNames, parameters: Parameters, scope: UserScope | None) -> Listed:
    call = read_statistics(parameters, names, tables.now_ms, scope)
    return Listed([total_record(total(tables, call), call)], 1)


def _cut(record: Mapping[str, Any], shaping: Shaping) -> Mapping[str, Any]:
    return {name: record[name] for name in shaping.columns} if shaping.columns else record


def _answer_api2(service: ReportService, caller: Caller, parameters: Parameters) -> Document:
    """Clients write `cpanel_jsonapi_` and `cpanel_xmlapi_` before the names, whatever they ask for."""

    def named(name: str) -> str:
        return next(
            (
                parameters[f"cpanel_{kind}_{name}"].strip()
                for kind in ("jsonapi", "xmlapi")
                if parameters.get(f"cpanel_{kind}_{name}")
            ),
            "",
        )

    module, function, user = named("module")[:80], named("func")[:80], named("user") or caller.user
    label = f"{MODULE}::{function}" if module == MODULE and function in API2_FUNCTIONS else "unknown"
    try:
        if (version := named("apiversion") or "2") != "2":
            raise CallError("cpanel_jsonapi_apiversion=%(version)s is not served: use 2", version=version[:40])
        if module != MODULE:
            raise CallError("Could not find module “%(module)s”: only EmailTrack is served", module=module)
        if function == "trace":
            raise CallError(_NO_TRACE)
        if function not in API2_FUNCTIONS:
            raise CallError("Could not find function “%(function)s” in module “EmailTrack”", function=function)
        tables = service.tables(caller.viewer, label, _Asked(user))
        listed = _listed_api2(tables, caller.names, function, parameters, _scope(caller, user))
    except PostwatchError as error:
        return envelopes.api2_failure(module, function, _told(label, error))
    _CALLS.labels(label, "answered").inc()
    return envelopes.api2_answer(function, listed)


def _scope(caller: Caller, user: str) -> UserScope | None:
    """The user's own mail: these functions are about one user.

    A token for some accounts says itself whose mail it reads, and a user who owns some of it narrows that. Other names
    change nothing, so that nobody learns which there are. Raises CallError for who sees all and names nobody.
    """
    if user and (caller.viewer.sees_all or caller.viewer.domains.intersection(caller.names.domains_of(user))):
        return scope_of(user, caller.names)
    if caller.viewer.sees_all:
        raise CallError("cpanel_jsonapi_user is missing: name the user whose mail is meant")
    return None


def _listed_api2(
    tables: Tables, names: OwnerNames, function: str, parameters: Parameters, scope: UserScope | None
) -> Listed:
    if function == "stats":
        return _stats(tables, names, parameters, scope)
    shaping = read_api2(parameters, TrackRecord._fields)
    if recipient := parameters.get("recipient", "").strip():  # clients send it as a parameter of its own
        shaping = Shaping(
            (*shaping.matches, Match("recipient", "contains", recipient[:998])),
            shaping.orders,
            shaping.chunk,
            shaping.columns,
        )
    return _search(tables, names, parameters, shaping, scope)


def answer_uapi(module: str, function: str) -> Document:
    """UAPI never had these functions; it says so."""
    _CALLS.labels("unknown", "refused").inc()
    return envelopes.uapi_failure(
        module[:80], function[:80], _NO_UAPI.format(module=module[:80], function=function[:80])
    )


def _told(label: str, error: PostwatchError) -> str:
    _CALLS.labels(label, "refused" if isinstance(error, CallError) else "failed").inc()
    return public_words(error)
