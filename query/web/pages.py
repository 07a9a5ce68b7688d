"""The pages of the reports. They work without scripts, and every state of a page has an address."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from postwatch.producers.service.errors import PostwatchError
from postwatch.query.answers import error_headers, public_words, status_of
from postwatch.query.download_routes import page_path
from postwatch.query.errors import FilterError, NotFoundError
from postwatch.query.files import FORMATS
from postwatch.query.filters import read_days
from postwatch.query.identity import known_viewer
from postwatch.query.live.hub import LiveHub
from postwatch.query.report_service import ReportService
from postwatch.query.reports.account import AccountMail, AccountReport
from postwatch.query.reports.queue import QueueReport
from postwatch.query.reports.registry import AnyReport, narrow_first
from postwatch.query.reports.search import SearchReport
from postwatch.query.reports.server_states import ServerStates
from postwatch.query.reports.statistics import StatisticsReport
from postwatch.query.web.charts import charts_of
from postwatch.query.web.columns import chosen_columns, read_fields
from postwatch.query.web.found import found_columns, found_context
from postwatch.query.web.list_choice import choice_of
from postwatch.query.web.live import is_live, live_address
from postwatch.query.web.queue import queue_context
from postwatch.query.web.rendering import render
from postwatch.query.web.statistics import statistics_context
from postwatch.query.web.track import Link, address_maker, fill_words, in_shown_zone, track_context
from postwatch.query.web.trail import FIRST, read_trail, trail_words

_DAY_CHOICES = (1, 3, 7, 14, 30, 60, 90)


def page_router(service: ReportService, reports: Iterable[AnyReport], hub: LiveHub, makes_proofs: bool) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    for report in narrow_first(reports):
        router.add_api_route(report.page, _page(service, report, hub, makes_proofs), response_class=HTMLResponse)
    return router


def _page(service: ReportService, report: AnyReport, hub: LiveHub, makes_proofs: bool) -> Callable[[Request], Response]:
    required = {one.name for one in report.filters if one.is_required}
    is_list = isinstance(report, AccountReport)
    is_search = isinstance(report, SearchReport)

    def page(request: Request) -> Response:
        viewer = known_viewer(request)
        choice = choice_of(request)
        words = {one.name: ",".join(request.query_params.getlist(one.name)).strip() for one in report.filters}
        words |= {name: str(word) for name, word in request.path_params.items()}
        show = request.query_params.get("show", "")
        if show == "all":  # the Show All button: every filter is left out but those that must be given
            words = {name: word if name in required else "" for name, word in words.items()}
        if is_list:
            words = fill_words(viewer, choice, words, is_ordered="by" in request.query_params and show != "all")
        if is_search:
            words = in_shown_zone(words)
        answer: Any = None
        servers: ServerStates | None = None
        status, headers, complaint = 200, None, ("", "")
        position_ms = hub.position()  # before the rows are read: what comes later is sent to the page
        try:
            servers = service.servers()
            if not report.has_form or show or not required or any(words[name] for name in required):
                fields = None
                if is_list:
                    fields = read_fields(chosen_columns(viewer, choice.columns, words["account"]))
                elif is_search:
                    fields = read_fields(found_columns(viewer, choice))
                answer = service.answer(viewer, report, report.question_of(words), fields)
                if report.names_one and not answer.rows:
                    raise NotFoundError(report.none_of_this_name)
        except PostwatchError as error:
            if not report.has_form:
                raise
            status = status_of(error)[0]
            headers = error_headers(status)
            complaint = (getattr(error, "field", ""), public_words(error))
        if servers is not None and isinstance(answer, AccountMail):
            servers = service.servers_of(viewer, answer.filters.account, servers, answer.servers)
        if answer and (leads_to := report.leads_to(answer)):
            return RedirectResponse(leads_to, 303)
        cursor = words.pop("cursor", "")
        trail = read_trail(request.query_params.get("trail", "")) if cursor else ()
        next_cursor = report.next_cursor(answer) if answer else ""
        chosen_days = _chosen_days(words.get("days", ""), service.retention_days)
        address = address_maker(viewer, choice, words) if is_list else _address_maker(report.page, words)
        html = render(
            report.template,
            viewer,
            report=report,
            makes_proofs=makes_proofs,
            answer=answer,
            servers=servers,
            asked=words,
            complaint=complaint[1],
            complaint_field=complaint[0],
            empty=report.nothing_found(answer) if answer else "",
            link_to=address,
            newest=address(),
            older=address(cursor=next_cursor, trail=trail_words((*trail, cursor or FIRST))) if next_cursor else "",
            newer=_newer(address, trail),
            is_first=not cursor,
            charts=charts_of(answer),
            files={form: address(of=page_path(report, form)) for form in (FORMATS if report.has_download else ())},
            live=live_address(words, position_ms) if answer and is_list and is_live(answer.filters) else "",
            chosen_days=chosen_days,
            usual_days=read_days(None, service.retention_days),
            day_choices=sorted(
                {days for days in _DAY_CHOICES if days < service.retention_days} | {service.retention_days, chosen_days}
            ),
            **(track_context(viewer, choice, words, answer) if is_list else {}),
            **(queue_context(viewer, words, answer, address) if isinstance(report, QueueReport) else {}),
            **(
                statistics_context(viewer, words, answer, address, service.retention_days)
                if isinstance(report, StatisticsReport)
                else {}
            ),
            **(found_context(viewer, choice, words, answer, address) if is_search else {}),
        )
        return HTMLResponse(html, status, headers)

    return page


def _newer(address: Link, trail: tuple[str, ...]) -> str:
    """The page before; empty: it is not known which one was."""
    if not trail:
        return ""
    *before, last = trail
    return address() if last == FIRST else address(cursor=last, trail=trail_words(tuple(before)))


def _chosen_days(word: str, retention_days: int) -> int:
    """The days that the form shows: those that were asked for, if they can be."""
    try:
        return read_days(int(word) if word else None, retention_days)
    except (ValueError, FilterError):
        return read_days(None, retention_days)


def _address_maker(page: str, words: dict[str, str]) -> Link:
    def address(of: str = page, **changed: str) -> str:
        asked = {**words, **changed}
        if not (asked.get("since") or asked.get("until")):
            asked["zone"] = ""
        return f"{of}?" + urlencode({name: word for name, word in asked.items() if word})

    return address
