"""The pages: Track Delivery, one message, the servers. They work without scripts, and every state has an address."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from postwatch.producers.service.errors import PostwatchError
from postwatch.query.answers import status_of
from postwatch.query.errors import FilterError
from postwatch.query.filters import RESULT_WORDS, STATUS_WORDS, ReportFilters, read_days
from postwatch.query.report_service import ReportService
from postwatch.query.reports import AccountReport, ServersReport
from postwatch.query.web.rendering import render
from postwatch.query.wording import no_mail

_DAY_CHOICES = (1, 3, 7, 14, 30, 60, 90)


def page_router(service: ReportService) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def track(
        account: str = "",
        recipient: str = "",
        status: str = "",
        days: str = "",
        cursor: str = "",
        bounces: str = "",
        show: str = "",
    ) -> HTMLResponse:
        """The Track Delivery page. `show=all`, the Show All button, leaves every filter but the account out."""
        if show == "all":
            recipient = status = days = cursor = bounces = ""
        asked = {
            "account": account.strip(),
            "recipient": recipient.strip(),
            "status": status,
            "days": days,
            "bounces": "yes" if bounces else "",
        }
        report: AccountReport | None = None
        servers: ServersReport | None = None
        code, complaint = 200, ""
        try:
            servers = service.servers()
            if account.strip() or show:
                filters = service.filters(
                    account, _whole_days(days), recipient, status, cursor=cursor, bounces=bool(bounces)
                )
                report = service.account(filters)
        except PostwatchError as error:
            code, complaint = status_of(error)[0], str(error)
        return HTMLResponse(
            render(
                "track.html",
                asked=asked,
                report=report,
                servers=servers,
                complaint=complaint,
                empty=no_mail(report.filters) if report else "",
                newest=_address(asked),
                older=_address({**asked, "cursor": report.next_cursor}) if report and report.next_cursor else "",
                is_first=not cursor,
                results=RESULT_WORDS,
                statuses=[word for word in STATUS_WORDS if word not in RESULT_WORDS],
                day_choices=_day_choices(service.retention_days, report.filters if report else None),
                chosen_days=report.filters.days if report else read_days(None, service.retention_days),
            ),
            code,
        )

    @router.get("/trace")
    def trace(id: str = "") -> HTMLResponse:
        """All that is known of one message, or of one recipient's mail."""
        return HTMLResponse(render("trace.html", report=service.trace(id), servers=service.servers()))

    @router.get("/servers")
    def servers() -> HTMLResponse:
        """Every server's last sign of life."""
        return HTMLResponse(render("servers.html", servers=service.servers()))

    return router


def _whole_days(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        return int(text)
    except ValueError as error:
        raise FilterError(f"days {text!r} is not a whole number") from error


def _address(asked: dict[str, str]) -> str:
    return "/?" + urlencode({name: value for name, value in asked.items() if value})


def _day_choices(retention_days: int, filters: ReportFilters | None) -> list[int]:
    choices = {days for days in _DAY_CHOICES if days < retention_days} | {retention_days}
    return sorted(choices | {filters.days} if filters else choices)
